"""CLIP-Adapter: a bottleneck behind the image encoder, mixed with what it is given.

``fc.0.weight`` (H, D) and ``fc.2.weight`` (D, H), no biases. The mixing ratio, the template and the
class names are not in the file. Source: gaopengcuhk/CLIP-Adapter ``clip_adapter.py``.
"""

from __future__ import annotations

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Bottleneck, Parts, Tensors
from inspector.checkpoint.reading import Scalar

FIRST, SECOND = "fc.0.weight", "fc.2.weight"
_RATIO = 0.2
"""A literal in the original code."""


def _options(shapes: Shapes) -> dict[str, Scalar]:
    expect(shapes, FIRST, (None, None))
    hidden, features = shapes[FIRST]
    expect(shapes, SECOND, (features, hidden))
    return {"hidden": hidden, "embed_dim": features}


def _parts(tensors: Tensors) -> Parts:
    return Parts(image_adapter=Bottleneck("", tensors[FIRST], tensors[SECOND], _RATIO, True))


FAMILY = Family(
    name="CLIP-Adapter",
    aliases=(),
    required=frozenset({FIRST, SECOND}),
    optional=frozenset(),
    options=_options,
    parts=_parts,
)
