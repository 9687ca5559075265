"""A request as JSON and back, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inspector.errors import RequestError
from inspector.manifest import Manifest
from inspector.request import Request

MANIFESTS: list[dict[str, Any]] = [
    {},
    {"method": "CoCoOp", "classnames": ["cat", "dog"], "template": "a photo of a {}.", "n_ctx": 4},
    {"method": "CoOp", "config": {"COOP": {"CLASS_TOKEN_POSITION": "middle"}}, "image_size": 224},
    {"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1], "logit_scale": 100, "precision": "fp16"},
    {"tcp": {"insert_before_text_block": 8, "class_branch_template": "a {}."}},
    {"templates": ["a {}.", "one {}."], "class_specific": True, "adapter_ratio": 0.2},
    {"config": {"tip_adapter": {"alpha": 1.5, "beta": 5.5}, "dataset_name": "eurosat"}},
    {"check": {"images": [[0.5]], "logits": [[1.0, 2.0]]}},
    {"check": {"images": "pictures.safetensors", "accuracy": 0.9}},
]


@pytest.mark.parametrize("stated", MANIFESTS)
def test_a_request_comes_back_from_json_as_it_was(stated: dict[str, Any], tmp_path: Path) -> None:
    asked = Request(
        backbone="pocket",
        manifest=Manifest.parse(stated, folder=tmp_path),
        profile="quick",
        targets=4,
        seed=7,
        in_distribution=True,
        budget_s=1.5,
        device="cpu",
        calibrations=tmp_path,
    )
    sent = json.loads(json.dumps(asked.to_json(), allow_nan=False))
    assert Request.from_json(sent, folder=tmp_path) == asked


def test_what_is_not_said_has_its_default() -> None:
    asked = Request.from_json({"backbone": "pocket", "device": "cpu"})
    assert asked == Request(backbone="pocket", manifest=Manifest(), device="cpu")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"profile": "fast"}, "profile"),
        ({"targets": 1}, "targets"),
        ({"seed": "0"}, "seed"),
        ({"repair": "yes"}, "repair"),
        ({"manifest": {"mean": 1}}, "mean"),
        ({"manifest": {"check": {"images": "/etc/passwd", "accuracy": 0.5}}}, "check.images"),
    ],
)
def test_what_cannot_be_is_named(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as caught:
        Request.from_json({"backbone": "pocket", "device": "cpu"} | wrong)
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["labelled", "pairs"])
def test_what_serves_a_repair_alone_is_refused_without_one(name: str) -> None:
    given: dict[str, Any] = {name: "/some/folder"}
    Request(backbone="pocket", manifest=Manifest(), repair=True, **given).check()
    with pytest.raises(RequestError, match=f"{name}: it serves a repair only"):
        Request(backbone="pocket", manifest=Manifest(), **given).check()


def test_a_request_made_by_hand_is_checked_in_the_same_way() -> None:
    Request(backbone="pocket", manifest=Manifest()).check()
    with pytest.raises(RequestError, match="targets: 1 is not all or a whole number from 2 on"):
        Request(backbone="pocket", manifest=Manifest(), targets=1).check()
