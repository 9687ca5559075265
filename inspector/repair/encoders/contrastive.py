"""Plain contrastive fine-tuning on clean pairs: the control that every other strategy must beat.

CLIP's own loss on pictures as they are. Fine-tuning is known to forget some of a backdoor and to
keep structured triggers (arXiv 2412.00727, 2303.03323).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.moving import scale_of
from inspector.repair.encoders.case import EncoderCase
from inspector.repair.encoders.losses import contrast, same_words
from inspector.repair.encoders.recipes import CONTRASTIVE, Schedule
from inspector.repair.encoders.training import Batch, text_features, trained


@dataclass(frozen=True)
class Contrastive:
    """Needs pairs."""

    schedule: Schedule = CONTRASTIVE
    name: str = "contrastive fine-tuning"
    keeps_weights: bool = True

    def tensors(self, case: EncoderCase) -> dict[str, Tensor]:
        """See `EncoderStrategy.tensors`."""
        return trained(case, self.schedule, matched, self.name)


def matched(encoders: Backbone, batch: Batch) -> Tensor:
    """CLIP's loss (scalar) of a batch whose pictures are (B, 3, S, S)."""
    images = encoders.image_features(batch.pixels)
    texts = text_features(encoders, batch.tokens)
    return contrast(images, texts, scale_of(encoders), same_words(batch.tokens))
