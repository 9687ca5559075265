"""Random resized crops and flips, as CoOp's trainers use them (KaiyangZhou/CoOp, `INPUT.TRANSFORMS`).

Copies are made once instead of anew in every epoch, so that image features can be computed once.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST = 0.6
"""Smallest side of a crop, as a share of the image's."""


def with_crops(pixels: Tensor, copies: int, generator: torch.Generator) -> Tensor:
    """Pixels (N, 3, S, S) followed by `copies` cropped versions of them, (N * (1 + copies), 3, S, S)."""
    cropped = [_crop(one, generator) for _ in range(copies) for one in pixels]
    return torch.cat([pixels, torch.stack(cropped)]) if cropped else pixels


def _crop(image: Tensor, generator: torch.Generator) -> Tensor:
    size = image.shape[-1]
    share, flip = torch.rand(2, generator=generator).tolist()
    side = round(size * (SMALLEST + (1 - SMALLEST) * share))
    top, left = torch.randint(size - side + 1, (2,), generator=generator).tolist()
    part = image[None, :, top : top + side, left : left + side]
    whole = functional.interpolate(part, size, mode="bilinear", antialias=True)[0]
    return whole.flip(2) if flip < 0.5 else whole
