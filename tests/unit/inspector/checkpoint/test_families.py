"""Families are told apart by keys and shapes; what the file can say is read from it."""

from __future__ import annotations

import pytest

from inspector.checkpoint.families import FAMILIES, recognise
from inspector.checkpoint.reasons import REASONS
from inspector.errors import AmbiguousFamily, ArtifactError, ShapeMismatch, UnknownFamily

COOP = {"ctx": (4, 16), "token_prefix": (5, 1, 16), "token_suffix": (5, 72, 16)}
META = {
    "meta_net.linear1.weight": (2, 32),
    "meta_net.linear1.bias": (2,),
    "meta_net.linear2.weight": (16, 2),
    "meta_net.linear2.bias": (16,),
}
KG = {
    "bias_vectors": (1, 512),
    "meta_net.linear1.weight": (512, 512),
    "meta_net.linear1.bias": (512,),
}


@pytest.mark.parametrize(
    ("shapes", "family", "options"),
    [
        (COOP, "CoOp", {"n_ctx": 4, "num_classes": 5, "class_specific": False}),
        ({"ctx": (4, 16)}, "CoOp", {"num_classes": None, "context_length": None}),
        (COOP | {"ctx": (5, 4, 16)}, "CoOp", {"class_specific": True, "width": 16}),
        (COOP | META, "CoCoOp", {"hidden": 2, "embed_dim": 32, "context_length": 77}),
        (COOP | KG, "KgCoOp", {"n_ctx": 4}),
    ],
)
def test_recognised(
    shapes: dict[str, tuple[int, ...]], family: str, options: dict[str, object]
) -> None:
    found = recognise(shapes)
    assert found.family == family
    assert {key: found.options[key] for key in options} == options


@pytest.mark.parametrize(
    ("shapes", "error", "text"),
    [
        ({}, UnknownFamily, "keys found: none"),
        (COOP | {"extra": (1,)}, UnknownFamily, "extra"),
        ({f"prompt_learner.{key}": shape for key, shape in COOP.items()}, UnknownFamily, "prompt"),
        (COOP | {"ctx": (16,)}, ShapeMismatch, "M x W"),
        (COOP | {"ctx": (0, 16)}, ShapeMismatch, "M x W"),
        (COOP | {"ctx": (4, 8)}, ShapeMismatch, "5 x 1 x 8"),
        (COOP | {"token_suffix": (6, 72, 16)}, ShapeMismatch, "token_suffix"),
        (COOP | {"token_prefix": (5, 2, 16)}, ShapeMismatch, "token_prefix"),
        (COOP | {"token_prefix": ()}, ShapeMismatch, "scalar"),
        (COOP | {"ctx": (2, 4, 16)}, ShapeMismatch, "2 x 1"),
        (COOP | {"ctx": (5, 4, 16), "token_prefix": (10, 1, 16)}, AmbiguousFamily, "PLOT"),
        ({"ctx": (5, 4, 16)}, AmbiguousFamily, "PLOT"),
        (COOP | META | {"ctx": (5, 4, 16)}, ShapeMismatch, "M x W"),
        (COOP | META | {"meta_net.linear2.weight": (64, 2)}, UnknownFamily, "TCP"),
        (COOP | META | {"meta_net.linear2.weight": (16, 3)}, ShapeMismatch, "linear2"),
        (COOP | META | {"meta_net.linear1.bias": (3,)}, ShapeMismatch, "linear1.bias"),
        (COOP | META | {"meta_net.linear2.weight": (15, 2)}, ShapeMismatch, "16 x 2"),
        (COOP | KG | {"meta_net.linear1.bias": (3,)}, ShapeMismatch, "linear1.bias"),
    ],
)
def test_refused(shapes: dict[str, tuple[int, ...]], error: type[ArtifactError], text: str) -> None:
    with pytest.raises(error) as caught:
        recognise(shapes)
    assert text in caught.value.detail
    assert caught.value.finding_id in REASONS


def test_no_two_families_claim_the_same_keys() -> None:
    for one in FAMILIES:
        for other in FAMILIES:
            if one is not other:
                assert not one.has_keys(dict.fromkeys(other.required, (1,)))
