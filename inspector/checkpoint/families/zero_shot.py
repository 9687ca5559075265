"""Zero-shot prompts: no tensors at all, only templates and class names in a JSON file.

The JSON, as the reader found it, is the one canonical tensor (U8). It is parsed where manifests are.
One template, or several whose text features are averaged. Source: KaiyangZhou/CoOp
``trainers/zsclip.py`` (ZeroshotCLIP, ZeroshotCLIP2).
"""

from __future__ import annotations

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Parts, Tensors
from inspector.checkpoint.reading import Scalar

STATEMENT = "prompts.json"


def _options(shapes: Shapes) -> dict[str, Scalar]:
    expect(shapes, STATEMENT, (None,))
    return {}


def _parts(tensors: Tensors) -> Parts:
    return Parts(statement=bytes(tensors[STATEMENT].tolist()))


FAMILY = Family(
    name="ZeroshotCLIP",
    aliases=("ZeroshotCLIP2",),
    required=frozenset({STATEMENT}),
    optional=frozenset(),
    options=_options,
    parts=_parts,
    beside=frozenset({STATEMENT}),
)
