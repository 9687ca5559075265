"""CleanCLIP: the contrast between pictures and captions, and one within each kind.

    L = L_CLIP + (L_image + L_text) / 2

with L_image the same loss between pictures and other views of them, L_text between captions and
other wordings: each encoder has to say by itself what is alike, whatever a trigger tied to a
caption. Bansal et al., ICCV 2023, nishadsinghi/CleanCLIP `src/train.py`. It fails on encoders that
were trained with such terms before they were poisoned (arXiv 2311.14948).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.moving import scale_of
from inspector.repair.encoders.augment import changed, reworded
from inspector.repair.encoders.case import EncoderCase
from inspector.repair.encoders.losses import contrast, same_words
from inspector.repair.encoders.recipes import CLEAN_CLIP, IN_MODAL, Schedule
from inspector.repair.encoders.training import Batch, text_features, tokens_of, trained


@dataclass(frozen=True)
class CleanClip:
    """Needs pairs."""

    schedule: Schedule = CLEAN_CLIP
    weight: float = IN_MODAL
    name: str = "CleanCLIP"
    keeps_weights: bool = True

    def tensors(self, case: EncoderCase) -> dict[str, Tensor]:
        """See `EncoderStrategy.tensors`."""
        generator = torch.Generator().manual_seed(case.seed + 1)
        rng = random.Random(case.seed)

        def loss(encoders: Backbone, batch: Batch) -> Tensor:
            pixels = torch.cat([batch.pixels, changed(batch.pixels, generator)])
            other = tokens_of(encoders, reworded(batch.captions, rng))
            images, views = encoders.image_features(pixels).chunk(2)
            texts, wordings = (text_features(encoders, one) for one in (batch.tokens, other))
            scale, alike = scale_of(encoders), same_words(batch.tokens)
            each = torch.eye(len(images), device=images.device)
            within = contrast(images, views, scale, each) + contrast(texts, wordings, scale, alike)
            return contrast(images, texts, scale, alike) + self.weight * within / 2

        return trained(case, self.schedule, loss, self.name)
