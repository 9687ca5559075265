"""Random resized crops and flips, as CoOp's trainers use them (KaiyangZhou/CoOp, `INPUT.TRANSFORMS`),
and stronger disturbances for a control of the zoo.

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


def with_disturbed(
    pixels: Tensor, copies: int, generator: torch.Generator, *, gentle: bool
) -> Tensor:
    """Pixels followed by `copies` disturbed versions: crop and flip unless `gentle`, light, colour, noise.

    Gains of 0.6 to 1.4 on all channels and 0.85 to 1.15 on each, offsets of up to 0.1, Gaussian noise
    of deviation 0.05: a colour still is told by its name.
    """
    result = [pixels]
    for _ in range(copies):
        copy = pixels if gentle else torch.stack([_crop(one, generator) for one in pixels])
        number = len(pixels)

        def spread(width: float, channels: int, number: int = number) -> Tensor:
            shape = (number, channels, 1, 1)
            return width * (torch.rand(shape, generator=generator) * 2 - 1)

        gain = (1 + spread(0.4, 1)) * (1 + spread(0.15, 3))
        noise = 0.05 * torch.randn(copy.shape, generator=generator)
        result.append((copy * gain + spread(0.1, 1) + noise).clamp(0, 1))
    return torch.cat(result)
