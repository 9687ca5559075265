"""CoPrompt: MaPLe with a small adapter behind each encoder.

MaPLe's keys, ``adapter_image.fc.{0,2}.weight`` and ``adapter_text.fc.{0,2}.weight``, and under
``model_distill`` the whole frozen CLIP, which no forward pass reads.
Source: ShuvenduRoy/CoPrompt ``trainers/coprompt.py``.
"""

from __future__ import annotations

from dataclasses import replace

from inspector.checkpoint.families import maple
from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Bottleneck, Parts, Tensors
from inspector.checkpoint.families.whole import TOKENS
from inspector.checkpoint.reading import Scalar

_ADAPTERS = {"adapter_image": 0.1, "adapter_text": 0.2}
"""Shares of the adapted features, literals in the original code."""


def _options(shapes: Shapes) -> dict[str, Scalar]:
    for adapter in _ADAPTERS:
        expect(shapes, f"{adapter}.fc.0.weight", (None, None))
        hidden, features = shapes[f"{adapter}.fc.0.weight"]
        expect(shapes, f"{adapter}.fc.2.weight", (features, hidden))
    return maple.options_of(shapes)


def _parts(tensors: Tensors) -> Parts:
    image, text = (
        Bottleneck(
            f"{name}.", tensors[f"{name}.fc.0.weight"], tensors[f"{name}.fc.2.weight"], ratio
        )
        for name, ratio in _ADAPTERS.items()
    )
    return replace(maple.parts_of(tensors), image_adapter=image, text_adapter=text)


FAMILY = Family(
    name="CoPrompt",
    aliases=(),
    required=maple.REQUIRED
    | {f"{adapter}.fc.{layer}.weight" for adapter in _ADAPTERS for layer in (0, 2)},
    optional=TOKENS,
    options=_options,
    parts=_parts,
    prefixes=(*maple.PREFIXES, "model_distill."),
    learned={**maple.LEARNED, r"adapter_(image|text)\..+": "layer"},
)
