"""KgCoOp: CoOp whose context is held near the hand-written prompt while it is tuned.

CoOp's keys, and ``bias_vectors`` and ``meta_net.linear1``, which the original code saves and never
uses in its forward pass. Source: htyao89/KgCoOp ``trainers/kgcoop.py``.
"""

from __future__ import annotations

from inspector.checkpoint.families.coop import TOKEN_KEYS, context_options, context_parts
from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.reading import Scalar


def _options(shapes: Shapes) -> dict[str, Scalar]:
    expect(shapes, "bias_vectors", (None, None))
    expect(shapes, "meta_net.linear1.weight", (None, None))
    expect(shapes, "meta_net.linear1.bias", (shapes["meta_net.linear1.weight"][0],))
    return context_options(shapes)


FAMILY = Family(
    name="KgCoOp",
    aliases=(),
    required=frozenset({"ctx", "bias_vectors", "meta_net.linear1.weight", "meta_net.linear1.bias"}),
    optional=TOKEN_KEYS,
    options=_options,
    parts=context_parts,
    learned={"ctx": "words"},
)
