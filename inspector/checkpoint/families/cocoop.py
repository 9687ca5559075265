"""CoCoOp: a small network shifts the context vectors by what is in the image.

CoOp's keys with a two-dimensional ``ctx`` (M, W), and ``meta_net.linear1`` (H, D), ``linear2``
(W, H), where D is the size of the joint embedding. BadCLIP's ``prompt_learner`` saves the same; its
trigger lies in another folder. TCP has the same keys, but its second layer gives several vectors.
Source: KaiyangZhou/CoOp ``trainers/cocoop.py``, jiawangbai/BadCLIP ``trainers/badclip.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inspector.checkpoint.families.coop import TOKEN_KEYS, context_options, context_parts
from inspector.checkpoint.families.family import Family, Shapes, Start, expect
from inspector.checkpoint.families.parts import MetaNet, Parts, Tensors
from inspector.checkpoint.reading import Scalar
from inspector.errors import ShapeMismatch

FIRST, SECOND = "meta_net.linear1", "meta_net.linear2"
REQUIRED = frozenset(
    {"ctx"} | {f"{layer}.{part}" for layer in (FIRST, SECOND) for part in ("weight", "bias")}
)


LEARNED: Mapping[str, Start] = {"ctx": "words", r"meta_net\..+": "layer"}


def vectors_of(shapes: Shapes) -> int:
    """How many vectors as wide as the context the second layer gives; 1 where that is undecided."""
    ctx, out = shapes["ctx"], shapes[f"{SECOND}.weight"]
    if not ctx or not out or not ctx[-1] or out[0] % ctx[-1]:
        return 1
    return out[0] // ctx[-1]


def _options(shapes: Shapes) -> dict[str, Scalar]:
    ctx = shapes["ctx"]
    if len(ctx) != 2:
        raise ShapeMismatch("ctx", "M x W", ctx)
    options = context_options(shapes)
    width = ctx[1]
    expect(shapes, f"{FIRST}.weight", (None, None))
    hidden, embed = shapes[f"{FIRST}.weight"]
    expect(shapes, f"{SECOND}.weight", (None, hidden))
    expect(shapes, f"{SECOND}.weight", (width, hidden))
    expect(shapes, f"{FIRST}.bias", (hidden,))
    expect(shapes, f"{SECOND}.bias", (width,))
    return {**options, "hidden": hidden, "embed_dim": embed}


def layers_of(tensors: Tensors) -> Tensors:
    """Weights and biases of the meta-net without its prefix."""
    return {
        f"linear{layer}.{part}": tensors[f"meta_net.linear{layer}.{part}"]
        for layer in (1, 2)
        for part in ("weight", "bias")
    }


def _parts(tensors: Tensors) -> Parts:
    return replace(context_parts(tensors), meta_net=MetaNet(layers_of(tensors), "image"))


FAMILY = Family(
    name="CoCoOp",
    aliases=("BadCLIP",),
    required=REQUIRED,
    optional=TOKEN_KEYS,
    options=_options,
    parts=_parts,
    fits=lambda shapes: vectors_of(shapes) <= 1,
    learned=LEARNED,
)
