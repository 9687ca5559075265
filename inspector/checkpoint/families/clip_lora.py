"""CLIP-LoRA: low-rank changes of attention matrices in either encoder.

``layer_i.<projection>.w_lora_A`` (r, W) and ``w_lora_B`` (W, r), text blocks first, then vision
blocks; projections are ``q_proj``, ``k_proj``, ``v_proj`` and ``proj``, the same in every layer.
Which blocks, and alpha, stand in the metadata beside them; class names and template do not. Source:
MaxZanella/CLIP-LoRA ``loralib/utils.py``.
"""

from __future__ import annotations

import re

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Parts, Tensors
from inspector.checkpoint.reading import Scalar
from inspector.errors import ShapeMismatch, UnknownFamily

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "proj")
_LOGIT_SCALE = 100.0
"""A literal in the original code, whatever the backbone's own."""
_KEY = re.compile(rf"layer_([0-9]{{1,3}})\.({'|'.join(PROJECTIONS)})\.w_lora_[AB]")


def _options(shapes: Shapes) -> dict[str, Scalar]:
    layers: dict[int, set[str]] = {}
    for name in shapes:
        match = _KEY.fullmatch(name)
        if match is None:
            raise UnknownFamily(sorted(shapes), [FAMILY.name], f"{name} is no LoRA matrix")
        layers.setdefault(int(match[1]), set()).add(match[2])
    projections = [p for p in PROJECTIONS if p in layers[min(layers)]]
    first = f"layer_0.{projections[0]}.w_lora_A"
    if first not in shapes or sorted(layers) != list(range(len(layers))):
        raise UnknownFamily(sorted(shapes), [FAMILY.name], "layers do not count up from 0")
    rank = shapes[first][0] if shapes[first] else 0
    for layer in layers:
        for projection in projections:
            _expect_pair(shapes, f"layer_{layer}.{projection}", rank)
    if len(shapes) != 2 * len(layers) * len(projections):
        raise UnknownFamily(sorted(shapes), [FAMILY.name], "layers have different projections")
    return {"rank": rank, "layers": len(layers), "projections": " ".join(projections)}


def _expect_pair(shapes: Shapes, name: str, rank: int) -> None:
    down, up = f"{name}.w_lora_A", f"{name}.w_lora_B"
    for matrix in (down, up):
        if matrix not in shapes:
            raise ShapeMismatch(matrix, "r x W and W x r", ())
    expect(shapes, down, (rank, None))
    expect(shapes, up, (shapes[down][1], rank))


def _parts(tensors: Tensors) -> Parts:
    return Parts(low_rank=tensors, logit_scale=_LOGIT_SCALE)


FAMILY = Family(
    name="CLIP-LoRA",
    aliases=(),
    required=frozenset(),
    optional=frozenset(),
    options=_options,
    parts=_parts,
    prefixes=("layer_",),
    fits=lambda shapes: any(_KEY.fullmatch(name) for name in shapes),
)
