"""Full fine-tuned CLIP: both encoders and no prompt, in OpenAI's or open_clip's layout.

OpenAI's keys, which open_clip shares for its own CLIP class, or the same with the text tower under
``text.`` (open_clip's CustomTextCLIP). Some files repeat sizes as ``input_resolution``,
``context_length`` and ``vocab_size``, and a causal mask; open_clip's ``logit_bias``, one number, is
added to every logit alike. Templates and class names are not in the
file. Sources: openai/CLIP ``clip/model.py``, mlfoundations/open_clip ``src/open_clip/model.py``.
"""

from __future__ import annotations

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Parts, Tensors
from inspector.checkpoint.reading import Scalar
from inspector.errors import ShapeMismatch

_TABLE = "token_embedding.weight"
_SIZES = frozenset({"input_resolution", "context_length", "vocab_size", "attn_mask"})
_BIAS = "logit_bias"
_SIDE = _SIZES | {"text.attn_mask"}
_TEXT = ("transformer.", "ln_final.", "token_embedding.", "positional_embedding", "text_projection")


def _fits(shapes: Shapes) -> bool:
    has_table = _TABLE in shapes or f"text.{_TABLE}" in shapes
    return has_table and any(name.startswith("visual.") for name in shapes)


def _options(shapes: Shapes) -> dict[str, Scalar]:
    table = _TABLE if _TABLE in shapes else f"text.{_TABLE}"
    expect(shapes, table, (None, None))
    if shapes.get(_BIAS, ()) not in ((), (1,)):
        raise ShapeMismatch(_BIAS, "one number", shapes[_BIAS])
    vocabulary, width = shapes[table]
    return {"vocabulary": vocabulary, "width": width}


def _parts(tensors: Tensors) -> Parts:
    weights = {
        name.removeprefix("text."): (tensor,)
        for name, tensor in tensors.items()
        if name.removeprefix("text.") not in _SIZES
    }
    return Parts(weights=weights)


FAMILY = Family(
    name="CLIP",
    aliases=(),
    required=frozenset(),
    optional=_SIDE | {_BIAS},
    options=_options,
    parts=_parts,
    prefixes=("visual.", "text.", "logit_scale", *_TEXT),
    fits=_fits,
    tunes=lambda name: True,
    beside=_SIDE,
)
