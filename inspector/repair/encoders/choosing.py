"""Which strategies are tried on encoders, and by which recipes.

The published recipes are of encoders of 38 to 86 million weights and of pools of 100,000 pairs and
more; on fewer pairs they make fewer updates, and what is left of a backdoor then is for the search
of the copy to say.
"""

from __future__ import annotations

from inspector.clip.backbone import Backbone
from inspector.repair.encoders.case import EncoderStrategy
from inspector.repair.encoders.cleanclip import CleanClip
from inspector.repair.encoders.contrastive import Contrastive
from inspector.repair.encoders.par import PerturbAndRecover
from inspector.repair.encoders.recipes import SMALL, SMALL_ENCODER, SMALL_PAR
from inspector.repair.encoders.restore import Restore
from inspector.repair.encoders.unlearning import TokenUnlearning

ENCODER_FAMILIES = (
    "CLIP", "CLIPModel", "CLIP-LoRA", "PEFT-LoRA", "CLIP-Adapter", "Tip-Adapter", "Tip-Adapter-F",
)  # fmt: skip
"""Methods whose files hold encoders, or what changes them or stands behind them, and no prompt."""


def strategies_for(backbone: Backbone) -> tuple[EncoderStrategy, ...]:
    """All strategies, with the recipes that suit the size of the image encoder."""
    size = sum(weight.numel() for weight in backbone.model.visual.parameters())
    if size >= SMALL_ENCODER:
        return Restore(), Contrastive(), PerturbAndRecover(), CleanClip(), TokenUnlearning()
    return (
        Restore(),
        Contrastive(SMALL),
        PerturbAndRecover(SMALL_PAR),
        CleanClip(SMALL),
        TokenUnlearning(SMALL),
    )
