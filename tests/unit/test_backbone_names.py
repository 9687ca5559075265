"""What people type for a backbone, and what it is taken for."""

from __future__ import annotations

import json

import pytest

from inspector.clip.registry import REGISTERED
from inspector.names import BUILT_IN, UnknownName, understand
from inspector.names.spelling import tags
from tests.support import open_clip_names

B16 = "ViT-B-16/openai"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("pocket", "pocket"),
        *(
            (spelling, B16)
            for spelling in ("ViT-B/16", "ViT-B-16", "vit_b16", "vitb16", "VIT B/16")
        ),
        ("openai/clip-vit-base-patch16", B16),
        ("hf-hub:openai/clip-vit-base-patch16", B16),
        ("clip-vit-base-patch16", B16),
        ("ViT-B-16/openai", B16),
        ("ViT-B/16/openai", B16),
        ("vit_b16:OpenAI", B16),
        ("openai/clip-vit-base-patch32", "ViT-B-32/openai"),
        ("openai/clip-vit-large-patch14", "ViT-L-14/openai"),
        ("openai/clip-vit-large-patch14-336", "ViT-L-14-336/openai"),
        ("ViT-L/14@336px", "ViT-L-14-336/openai"),
        ("vit_l14_336", "ViT-L-14-336/openai"),
        ("RN50", "RN50/openai"),
        ("rn101", "RN101/openai"),
        ("RN50x4", "RN50x4/openai"),
        ("ViT-B-16/laion2b_s34b_b88k", "ViT-B-16/laion2b_s34b_b88k"),
        ("ViT-B-16/laion2b-s34b-b88k", "ViT-B-16/laion2b_s34b_b88k"),
        ("laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "ViT-B-16/laion2b_s34b_b88k"),
        ("ViT-B-32-256", "ViT-B-32-256/datacomp_s34b_b86k"),
        ("hf-hub:laion/CLIP-of-Tomorrow", "hf-hub:laion/CLIP-of-Tomorrow"),
    ],
)
def test_what_it_is_taken_for(typed: str, name: str) -> None:
    assert understand(typed).name == name
    pinned = understand(f"{typed}@sha256:AB")
    assert (pinned.name, pinned.pin, str(pinned)) == (name, "ab", f"{name}@sha256:ab")


def test_every_name_of_open_clips_is_its_own() -> None:
    for name, known in tags().items():
        for tag in known:
            assert understand(f"{name}/{tag}").name == f"{name}/{tag}"


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("ViT-B/61", "ViT-B/16"),
        ("ViT-B/15", "ViT-B/16"),
        ("poket", "pocket"),
        ("RM50", "RN50"),
        ("ourss", "ours"),
        ("ViT-H-14", "ViT-H-14/dfn5b"),
        ("ViT-B-16-quickgelu", "ViT-B-16-quickgelu/openai"),
        ("ViT-B-16/openia", B16),
        ("timm/ViT-SO400M-14-SigLIP-384", "ViT-SO400M-14-SigLIP-378/webli"),
    ],
)
def test_a_slip_names_what_was_meant(typed: str, nearest: str) -> None:
    with pytest.raises(UnknownName, match="Registered: ours, pocket. Understood") as caught:
        understand(typed, ["ours"])
    assert nearest in caught.value.nearest
    assert nearest in str(caught.value)
    assert caught.value.registered == ("ours", "pocket")


@pytest.mark.parametrize(
    "typed", ["", "/etc/passwd", "../x", "./ViT-B-16", "a/b/c", "hf-hub:x", "x" * 10_000, "ViT\n"]
)
def test_what_is_no_name(typed: str) -> None:
    with pytest.raises(UnknownName) as caught:
        understand(typed)
    assert len(str(caught.value)) < 700


def test_what_an_operator_registers_goes_first() -> None:
    assert understand("ViT-B/16", ["ViT-B/16"]).name == "ViT-B/16"
    assert understand("vit_b16", ["ViT-B/16"]).name == "ViT-B/16"
    assert understand("vit_b16", ["ViT-B/16", "ViT-B-16"]).name == B16
    assert understand("openai/clip-vit-base-patch16", [B16]).name == B16


def test_names_are_those_of_the_installed_open_clip() -> None:
    """`python -m tests.support.open_clip_names` writes the file again."""
    assert json.loads(open_clip_names.PATH.read_text("utf-8")) == open_clip_names.names()
    folded = {name.lower().replace("-", "").replace("_", "") for name in tags()}
    assert len(folded) == len(tags())


def test_the_inspection_has_what_is_built_in() -> None:
    assert tuple(REGISTERED) == BUILT_IN
    assert all(path.is_dir() for path in REGISTERED.values())
