"""VPT for CLIP, shallow and deep: prompts in the image encoder, fixed words in the text encoder.

The whole model is saved, without a prompt learner: ``image_encoder.VPT`` (N, V) in the input and
``image_encoder.transformer.resblocks.i.VPT_shallow`` (N, V) before block i. The file holds no class
names. Source: muzairkhattak/multimodal-prompt-learning ``trainers/vpt.py``.
"""

from __future__ import annotations

from inspector.checkpoint.families.family import Family
from inspector.checkpoint.families.parts import Parts, Tensors
from inspector.checkpoint.families.whole import (
    ENCODERS,
    LEARNED_INSIDE,
    VISUAL,
    encoder_weights,
    independent_options,
    with_independent,
)


def _parts(tensors: Tensors) -> Parts:
    return with_independent(Parts(weights=encoder_weights(tensors)), tensors)


FAMILY = Family(
    name="VPT",
    aliases=(),
    required=frozenset({VISUAL, "image_encoder.conv1.weight"}),
    optional=frozenset(),
    options=independent_options,
    parts=_parts,
    prefixes=ENCODERS,
    learned=LEARNED_INSIDE,
)
