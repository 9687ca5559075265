"""VPT for CLIP, shallow and deep: prompts in the image encoder, fixed words in the text encoder.

The whole model is saved, without a prompt learner: ``image_encoder.VPT`` (N, V) in the input and
``image_encoder.transformer.resblocks.i.VPT_shallow`` (N, V) before block i. The file holds no class
names. Source: muzairkhattak/multimodal-prompt-learning ``trainers/vpt.py``.
"""

from __future__ import annotations

from inspector.checkpoint.families.family import Family
from inspector.checkpoint.families.whole import ENCODERS, VISUAL, independent_options

FAMILY = Family(
    name="VPT",
    aliases=(),
    required=frozenset({VISUAL, "image_encoder.conv1.weight"}),
    optional=frozenset(),
    options=independent_options,
    prefixes=ENCODERS,
)
