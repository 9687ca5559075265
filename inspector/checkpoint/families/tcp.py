"""TCP: context vectors made from each class's own text feature, put in before a later text block.

CoCoOp's keys, but the second layer of ``meta_net`` (H, D), (N * W, H) gives N vectors at once, in
the original code 4 whatever the M vectors of the context. The block, 8 in the original code, and
the words of the class's text feature are not in the file. Source:
htyao89/Textual-based_Class-aware_prompt_tuning ``trainers/tcp.py``.
"""

from __future__ import annotations

from dataclasses import replace

from inspector.checkpoint.families.cocoop import (
    FIRST,
    LEARNED,
    REQUIRED,
    SECOND,
    layers_of,
    vectors_of,
)
from inspector.checkpoint.families.coop import TOKEN_KEYS, context_options, context_parts
from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import MetaNet, Parts, Tensors
from inspector.checkpoint.reading import Scalar
from inspector.errors import ShapeMismatch


def _options(shapes: Shapes) -> dict[str, Scalar]:
    ctx = shapes["ctx"]
    if len(ctx) != 2:
        raise ShapeMismatch("ctx", "M x W", ctx)
    made = vectors_of(shapes)
    expect(shapes, f"{FIRST}.weight", (None, None))
    hidden, embed = shapes[f"{FIRST}.weight"]
    expect(shapes, f"{FIRST}.bias", (hidden,))
    expect(shapes, f"{SECOND}.weight", (made * ctx[1], hidden))
    expect(shapes, f"{SECOND}.bias", (made * ctx[1],))
    options = context_options(shapes)
    return {**options, "class_vectors": made, "hidden": hidden, "embed_dim": embed}


def _parts(tensors: Tensors) -> Parts:
    return replace(context_parts(tensors), meta_net=MetaNet(layers_of(tensors), "class"))


FAMILY = Family(
    name="TCP",
    aliases=(),
    required=REQUIRED,
    optional=TOKEN_KEYS,
    options=_options,
    parts=_parts,
    fits=lambda shapes: vectors_of(shapes) > 1,
    learned=LEARNED,
)
