"""PAR, perturb and recover: push embeddings off the delivered ones', while pairs recover them.

    L = L_CLIP - (S_image + S_text) / 2

S is the mean squared distance between what the copy and the frozen delivered encoders make of the
same view and caption, and counts nothing from a threshold on: no trigger need be known, as whatever
the delivered encoders tied together is let go. Views are mild. arXiv 2412.00727,
nmndeep/PerturbAndRecover `losses.py`. Where only one encoder moves (an adapter behind the image
encoder), only it is pushed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.moving import scale_of
from inspector.repair.encoders.augment import noisy
from inspector.repair.encoders.case import EncoderCase
from inspector.repair.encoders.losses import contrast, push, same_words
from inspector.repair.encoders.recipes import HARD_THRESHOLD, PAR, PUSH, Schedule
from inspector.repair.encoders.training import Batch, text_features, trained


@dataclass(frozen=True)
class PerturbAndRecover:
    """Needs pairs. `threshold` is in squared distances of unit vectors, [0,4]."""

    schedule: Schedule = PAR
    threshold: float = HARD_THRESHOLD
    weight: float = PUSH
    name: str = "PAR"
    keeps_weights: bool = True

    def tensors(self, case: EncoderCase) -> dict[str, Tensor]:
        """See `EncoderStrategy.tensors`."""
        frozen = case.delivered.encoders
        generator = torch.Generator().manual_seed(case.seed + 1)
        mean = torch.tensor(frozen.mean)[:, None, None]

        def loss(encoders: Backbone, batch: Batch) -> Tensor:
            pixels = noisy(batch.pixels, mean, generator)
            images = encoders.image_features(pixels)
            texts = text_features(encoders, batch.tokens)
            with torch.no_grad():
                images_before = frozen.image_features(pixels)
                texts_before = text_features(frozen, batch.tokens)
            pushed = push(images, images_before, self.threshold)
            pushed = pushed + push(texts, texts_before, self.threshold)
            kept = contrast(images, texts, scale_of(encoders), same_words(batch.tokens))
            return kept - self.weight * pushed

        return trained(case, self.schedule, loss, self.name)
