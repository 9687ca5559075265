"""Many pictures through an image encoder, in parts of bounded memory."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

BATCH = 64


class ImageEncoder(Protocol):
    """Whatever encodes pictures: a backbone or a classifier."""

    def image_features(self, pixels: Tensor) -> Tensor:
        """Normalised features (B, D) of pixels (B, 3, S, S) in [0,1]."""


@torch.no_grad()
def encoded(encoder: ImageEncoder, pixels: Tensor) -> Tensor:
    """Normalised features (N, D) of pixels (N, 3, S, S) in [0,1], without gradient."""
    return torch.cat([encoder.image_features(part) for part in pixels.split(BATCH)])
