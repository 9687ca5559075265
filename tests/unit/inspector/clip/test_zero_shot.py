"""Plain prompts: templates and class names in a JSON, one template or several that are averaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.clip.backbone import Backbone
from inspector.errors import AssemblyError
from tests.support.assembling import assembled, assert_columns, ids, pixels_of
from tests.support.vendors import cosine_logits, encode_image, ensemble, normalised_pixels

NAMES = ["traffic_light", "tall ship", "owl"]
WORDS = ["a photo of a {}, a type of pet.", "itap of a {}.", "art of the {}."]


def saved(folder: Path, content: object, name: str = "prompts.json") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return folder / name


def expected(backbone: Backbone, images: Tensor, templates: list[str]) -> Tensor:
    with torch.no_grad():
        image = encode_image(backbone.model, normalised_pixels(images, backbone.mean, backbone.std))
        return cosine_logits(backbone.model, image, ensemble(backbone.model, NAMES, templates))


@pytest.mark.parametrize(
    ("content", "templates"),
    [
        ({"method": "ZeroshotCLIP", "template": WORDS[0], "classnames": NAMES}, WORDS[:1]),
        ({"method": "zeroshot_clip2", "templates": WORDS, "classnames": NAMES}, WORDS),
        ({"templates": WORDS[1:], "classnames": NAMES}, WORDS[1:]),
        ({"templates": WORDS[:1], "classnames": NAMES}, WORDS[:1]),
        ({"method": "ZeroshotCLIP", "classnames": NAMES}, ["a photo of a {}."]),
        (
            {"method": "ZeroshotCLIP", "config": {"templates": WORDS}, "classnames": NAMES},
            WORDS,
        ),
    ],
)
def test_logits(tmp_path: Path, vit: Backbone, content: object, templates: list[str]) -> None:
    images = pixels_of(vit)
    for name in ("prompts.json", "manifest.json"):
        assembly = assembled(saved(tmp_path / "in", content, name), tmp_path / "out", vit)
        assert (assembly.family, assembly.findings) == ("ZeroshotCLIP", ())
        assert list(assembly.classes.names) == NAMES
        assert assembly.classes.source == "decoded"
        with torch.no_grad():
            difference = assembly.classifier(images) - expected(vit, images, templates)
        assert difference.abs().max() <= 1e-4
    assert_columns(assembly.classifier, images)


def test_the_manifest_adds_what_the_file_leaves_open(tmp_path: Path, vit: Backbone) -> None:
    path = saved(tmp_path / "in", {"method": "ZeroshotCLIP", "template": WORDS[0]})
    images = pixels_of(vit)
    assembly = assembled(path, tmp_path / "out", vit, classnames=NAMES)
    with torch.no_grad():
        assert (assembly.classifier(images) - expected(vit, images, WORDS[:1])).abs().max() <= 1e-4
    assert assembly.classes.source == "manifest"
    path = saved(tmp_path / "in", {"method": "ZeroshotCLIP", "classnames": NAMES})
    assembly = assembled(path, tmp_path / "out", vit, templates=WORDS)
    with torch.no_grad():
        assert (assembly.classifier(images) - expected(vit, images, WORDS)).abs().max() <= 1e-4
    with pytest.raises(AssemblyError) as caught:
        assembled(saved(tmp_path / "in", {"method": "ZeroshotCLIP"}), tmp_path / "out", vit)
    assert caught.value.finding_id == "class-list-missing"


def test_the_file_wins_and_a_finding_says_so(tmp_path: Path, vit: Backbone) -> None:
    path = saved(tmp_path / "in", {"templates": WORDS, "classnames": NAMES})
    images = pixels_of(vit)
    assembly = assembled(
        path, tmp_path / "out", vit, classnames=[*NAMES[:2], "crow"], template=WORDS[0]
    )
    assert ids(assembly) == ["class-list-mismatch", "template-mismatch"]
    assert assembly.classes.match is False
    with torch.no_grad():
        assert (assembly.classifier(images) - expected(vit, images, WORDS)).abs().max() <= 1e-4
    same = assembled(path, tmp_path / "out", vit, classnames=NAMES, templates=WORDS)
    assert (same.findings, same.classes.match) == ((), True)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"templates": ["no place"], "classnames": NAMES}, "templates"),
        ({"templates": WORDS, "classnames": ["owl", ""]}, "entry 1 is empty"),
        ({"templates": WORDS, "classnames": "owl"}, "list of strings"),
        ({"method": "ZeroshotCLIP", "template": 3, "classnames": NAMES}, "must be a string"),
    ],
)
def test_a_statement_that_is_none(
    tmp_path: Path, vit: Backbone, content: object, text: str
) -> None:
    with pytest.raises(AssemblyError, match=text) as caught:
        assembled(saved(tmp_path / "in", content), tmp_path / "out", vit)
    assert caught.value.finding_id == "statement-malformed"


@pytest.mark.parametrize(
    "content", [{"method": "CoOp", "classnames": NAMES}, {"classnames": NAMES}, [NAMES], "owl"]
)
def test_other_json_is_no_model(tmp_path: Path, content: object) -> None:
    path = saved(tmp_path / "in", content)
    reading = read_here(path, tmp_path, ReaderOptions())
    assert [finding.id for finding in reading.findings] == ["not-a-checkpoint"]
    assert reading.canonical is None


def test_a_few_lines_cannot_ask_for_endless_work(tmp_path: Path, vit: Backbone) -> None:
    many = {"templates": ["{}."] * 1_000, "classnames": [f"c{i}" for i in range(201)]}
    with pytest.raises(AssemblyError, match="more than 200000 prompts"):
        assembled(saved(tmp_path / "in", many), tmp_path / "out", vit)
