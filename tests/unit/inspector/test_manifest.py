"""Manifests as the research code writes them, by hand, and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.errors import ManifestError
from inspector.manifest import Check, Manifest, parse_class_list

FULL = {
    "method": "CoOp",
    "repo": "somebody/something",
    "commit": "abc",
    "classnames": ["stop_sign", "cat"],
    "config": {
        "TRAINER": {
            "COOP": {"N_CTX": 16, "CTX_INIT": "", "CLASS_TOKEN_POSITION": "middle"},
            "COCOOP": {"CTX_INIT": "a photo of a"},
        },
        "seed": 4,
    },
    "tokenised_template": "X X X X {}.",
    "n_ctx_replaced": 4,
    "image_size": 32,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.2, 0.2],
    "logit_scale_exp": 100.03,
    "precision": "fp32",
    "source_patches": [],
    "logits": {"shape": [2, 2]},
}


def test_what_the_research_code_writes() -> None:
    assert Manifest.parse(FULL) == Manifest(
        method="CoOp",
        classnames=("stop_sign", "cat"),
        template="X X X X {}.",
        class_token_position="middle",
        num_context=4,
        image_size=32,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.2),
        logit_scale=100.03,
        precision="fp32",
    )


@pytest.mark.parametrize("nothing", [None, {}, {"method": "auto"}, {"comment": 1}])
def test_nothing_is_a_manifest(nothing: object) -> None:
    assert Manifest.parse(nothing) == Manifest()


def test_by_hand() -> None:
    manifest = Manifest.parse(
        {"method": "badclip", "ctx_init": "a_photo of a", "class_token_position": "front"},
        ["x", "y"],
    )
    assert manifest.method == "BadCLIP"
    assert manifest.template == "a photo of a {}."
    assert manifest.class_token_position == "front"
    assert manifest.classnames == ("x", "y")


def test_initial_words_come_from_the_section_that_the_method_reads() -> None:
    config = {"TRAINER": {"COOP": {"CTX_INIT": "wrong"}, "COCOOP": {"CTX_INIT": "a photo of a"}}}
    assert Manifest.parse({"method": "BadCLIP", "config": config}).template == "a photo of a {}."
    flag = {"TRAINER": {"COOP": {"CTX_INIT": True}}}
    assert Manifest.parse({"method": "ProGrad", "config": flag}).template is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "must be a JSON object"),
        ({"method": "CoopX"}, "unknown method 'CoopX'; known: auto, PLOT, CoOp"),
        ({"method": 3}, "method: must be a string"),
        ({"classnames": "cat"}, "must be a list of strings"),
        ({"classnames": []}, "must hold 1 to"),
        ({"classnames": ["a", 3]}, "entry 1 is not a string"),
        ({"classnames": ["a", "_"]}, "entry 1 is empty"),
        ({"template": "a photo"}, "must hold {} once"),
        ({"tokenised_template": "{} {}"}, "must hold {} once"),
        ({"class_token_position": "left"}, "one of end, middle, front"),
        ({"config": {"CLASS_TOKEN_POSITION": 5}}, "one of end, middle, front"),
        ({"n_ctx_replaced": -1}, "must be a count"),
        ({"n_ctx": True}, "must be a count"),
        ({"class_specific": 1}, "must be true or false"),
        ({"image_size": [32, 48]}, "side of a square"),
        ({"image_size": 0}, "side of a square"),
        ({"mean": [0.5, 0.5]}, "mean: must be three numbers"),
        ({"mean": [0.5, 0.5, "x"]}, "mean: must be three numbers"),
        ({"mean": [0.5, 0.5, float("nan")]}, "mean: must be three numbers"),
        ({"std": [0.5, 0.5, 0]}, "std: must be three positive numbers"),
        ({"logit_scale_exp": -1}, "must be a positive number"),
        ({"check": []}, "must be an object"),
        ({"check": {"images": [1]}}, "exactly one of logits and accuracy"),
        ({"check": {"images": "x", "logits": [1]}}, "files cannot be named here"),
        ({"check": {"images": 3, "logits": [1]}}, "safetensors file or nested lists"),
        ({"check": {"images": [1], "accuracy": 70}}, "must be a share"),
    ],
)
def test_wrong(data: object, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest.parse(data)
    assert message in str(caught.value)


def test_files_to_check_against_lie_beside_the_manifest(tmp_path: Path) -> None:
    data = {"check": {"images": "i.safetensors", "logits": "l.safetensors"}}
    manifest = Manifest.parse(data, folder=tmp_path)
    expected = Check(tmp_path / "i.safetensors", tmp_path / "l.safetensors", None)
    assert manifest.check == expected


def test_duplicates_are_seen_through_spelling() -> None:
    assert Manifest.parse({"classnames": ["Stop_Sign", "cat", "stop sign"]}).duplicates == (
        "stop sign",
    )


def test_a_plain_list_of_classes() -> None:
    assert parse_class_list("\ufeffcat\r\n stop sign \n\n\n") == ["cat", "stop sign"]
    with pytest.raises(ManifestError, match="empty"):
        parse_class_list("\n\n")
    with pytest.raises(ManifestError, match="line 2 is empty; labels would shift"):
        parse_class_list("cat\n\ndog\n")
