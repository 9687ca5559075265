"""CLIP's own tensors that make no classifier by text are named in words."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from inspector.checkpoint.families import recognise
from inspector.errors import ShapeMismatch, UnknownFamily

BLOCKS = {
    "visual.transformer.resblocks.0.ln_1.weight": (8,), "visual.conv1.weight": (8, 3, 2, 2),
    "transformer.resblocks.0.ln_1.weight": (8,), "token_embedding.weight": (50, 8),
    "text_projection": (8, 4), "ln_final.weight": (8,), "positional_embedding": (77, 8),
}  # fmt: skip
VISION = {
    "vision_model.embeddings.class_embedding": (8,), "vision_model.post_layernorm.weight": (8,),
    "vision_model.encoder.layers.0.mlp.fc1.weight": (32, 8),
}  # fmt: skip
TEXT = {
    "text_model.embeddings.token_embedding.weight": (50, 8),
    "text_model.encoder.layers.0.mlp.fc1.weight": (32, 8), "text_projection.weight": (4, 8),
}  # fmt: skip


def before(prefix: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {prefix + name: shape for name, shape in shapes.items()}


@pytest.mark.parametrize(
    "shapes",
    [
        BLOCKS | {"fc.weight": (5, 4), "fc.bias": (5,)},
        before("clipmodel.", BLOCKS) | {"ff_head.weight": (5, 4), "ff_head.bias": (5,)},
        before("model.", BLOCKS) | {"classification_head.weight": (5, 4)},
        before("clip.", BLOCKS) | {"mlp_head.0.weight": (6, 4), "mlp_head.2.weight": (5, 6)},
        VISION | {"classifier.weight": (5, 8), "classifier.bias": (5,)},
        before("base.", VISION) | {"head.fc.weight": (5, 8)},
        VISION | {"linear_probe.weight": (5, 8)},
    ],
)
def test_a_head_of_classes(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(UnknownFamily, match=r"head of 5 classes .*; ask the vendor"):
        recognise(shapes)


@pytest.mark.parametrize(
    ("shapes", "tower"),
    [
        (VISION, "image"), (VISION | {"visual_projection.weight": (4, 8)}, "image"),
        (before("encoder.", VISION), "image"), (TEXT, "text"), (before("clip.", TEXT), "text"),
        ({"visual.conv1.weight": (8, 3, 2, 2), "visual.proj": (8, 4)}, "image"),
    ],
)  # fmt: skip
def test_a_tower_alone(shapes: dict[str, tuple[int, ...]], tower: str) -> None:
    with pytest.raises(UnknownFamily, match=f"the {tower} encoder of a CLIP alone"):
        recognise(shapes)


@pytest.mark.parametrize(
    "shapes",
    [
        {"layers.0.weight": (4, 4), "classifier.weight": (5, 4)},
        before("x.", BLOCKS),
        before("image_encoder.", VISION) | {"prompt_learner.meta_net.linear2.weight": (8, 2)},
    ],
)
def test_what_is_neither(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(UnknownFamily) as problem:
        recognise(shapes)
    assert "head of" not in str(problem.value)


def test_another_odd_tensor_is_still_an_unknown_key() -> None:
    found = recognise(BLOCKS | {"ema_decay": (), "queue": (4, 99)})
    assert (found.family, found.unknown) == ("CLIP", ("ema_decay", "queue"))


def test_a_bias_of_all_logits_is_one_number() -> None:
    for shape in ((), (1,)):
        assert recognise(BLOCKS | {"logit_bias": shape}).unknown == ()
    with pytest.raises(ShapeMismatch, match="one number"):
        recognise(BLOCKS | {"logit_bias": (5,)})
