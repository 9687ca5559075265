"""PromptSRC: IVLP's prompts, averaged over the epochs, and a frozen image encoder beside them.

``prompt_learner.ZS_image_encoder`` is what the training compares with; no forward pass reads it.
The averaging moved every tensor by rounding, the frozen ones too. Source: muzairkhattak/PromptSRC
``trainers/promptsrc.py``.
"""

from __future__ import annotations

from inspector.checkpoint.families import ivlp
from inspector.checkpoint.families.family import Family
from inspector.checkpoint.families.whole import ENCODERS, LEARNER, TOKENS

_FROZEN = f"{LEARNER}ZS_image_encoder."
_ROUNDING = 2**-8
"""Weighted epochs are added up in half precision, a rounding of 2^-11 for each: 2^-10 after three
epochs in the one case at hand that the original code wrote."""

FAMILY = Family(
    name="PromptSRC",
    aliases=(),
    required=ivlp.FAMILY.required | {f"{_FROZEN}conv1.weight"},
    optional=TOKENS,
    options=ivlp.options_of,
    parts=ivlp.parts_of,
    prefixes=(_FROZEN, *ENCODERS),
    rounding=_ROUNDING,
    learned=ivlp.LEARNED,
)
