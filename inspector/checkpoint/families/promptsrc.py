"""PromptSRC: IVLP's prompts, averaged over the epochs, and a frozen image encoder beside them.

``prompt_learner.ZS_image_encoder`` is what the training compares with; no forward pass reads it. The
averaging moved every tensor by rounding, the frozen ones too.
Source: muzairkhattak/PromptSRC ``trainers/promptsrc.py``.
"""

from __future__ import annotations

from inspector.checkpoint.families import ivlp
from inspector.checkpoint.families.family import Family
from inspector.checkpoint.families.whole import ENCODERS, LEARNER, TOKENS

_FROZEN = f"{LEARNER}ZS_image_encoder."

FAMILY = Family(
    name="PromptSRC",
    aliases=(),
    required=ivlp.FAMILY.required | {f"{_FROZEN}conv1.weight"},
    optional=TOKENS,
    options=ivlp.options_of,
    prefixes=(_FROZEN, *ENCODERS),
)
