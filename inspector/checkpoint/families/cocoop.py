"""CoCoOp: a small network shifts the context vectors by what is in the image.

CoOp's keys with a two-dimensional ``ctx`` (M, W), and ``meta_net.linear1`` (H, D), ``linear2``
(W, H), where D is the size of the joint embedding. BadCLIP's ``prompt_learner`` saves the same; its
trigger lies in another folder. TCP has the same keys, but its second layer gives several vectors.
Source: KaiyangZhou/CoOp ``trainers/cocoop.py``, jiawangbai/BadCLIP ``trainers/badclip.py``,
htyao89/Textual-based_Class-aware_prompt_tuning ``trainers/tcp.py``.
"""

from __future__ import annotations

from inspector.checkpoint.families.coop import TOKEN_KEYS, context_options
from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.reading import Scalar
from inspector.errors import ShapeMismatch, UnknownFamily

_FIRST, _SECOND = "meta_net.linear1", "meta_net.linear2"


def _options(shapes: Shapes) -> dict[str, Scalar]:
    ctx = shapes["ctx"]
    if len(ctx) != 2:
        raise ShapeMismatch("ctx", "M x W", ctx)
    options = context_options(shapes)
    width = ctx[1]
    expect(shapes, f"{_FIRST}.weight", (None, None))
    hidden, embed = shapes[f"{_FIRST}.weight"]
    expect(shapes, f"{_SECOND}.weight", (None, hidden))
    out = shapes[f"{_SECOND}.weight"][0]
    if out != width and out % width == 0:
        raise UnknownFamily(
            sorted(shapes),
            [FAMILY.name],
            f"the keys are CoCoOp's, but {_SECOND} gives {out // width} vectors as in TCP",
        )
    expect(shapes, f"{_SECOND}.weight", (width, hidden))
    expect(shapes, f"{_FIRST}.bias", (hidden,))
    expect(shapes, f"{_SECOND}.bias", (width,))
    return {**options, "hidden": hidden, "embed_dim": embed}


FAMILY = Family(
    name="CoCoOp",
    aliases=("BadCLIP",),
    required=frozenset(
        {"ctx"} | {f"{layer}.{part}" for layer in (_FIRST, _SECOND) for part in ("weight", "bias")}
    ),
    optional=TOKEN_KEYS,
    options=_options,
)
