"""Other views of a picture and of a caption, for cleaning.

`noisy` is PAR's mild augmentation (nmndeep/PerturbAndRecover): nothing but positive noise and a
small erased square. `changed` and `reworded` stand for CleanCLIP's AutoAugment and EDA
(nishadsinghi/CleanCLIP): rotation, shear, zoom, light, contrast, colour, posterising and solarising
at random strengths in place of a learned policy, deletions and a swap of words; EDA's synonyms need
a thesaurus and are left out. No view is mirrored: captions say left and right.
"""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor
from torch.nn import functional

NOISE, ERASED = 0.2, (0.005, 0.01)
"""Deviation of the noise in pixel units of [0,1]; area of the erased square as a share."""
_TURN, _SHEAR, _ZOOM = math.radians(15), 0.15, 0.2
_LIGHT, _CONTRAST, _COLOUR = 0.2, 0.4, 0.15
_BITS, _SOLAR = 4, 0.6
_RARE = 0.2
"""Share of pictures that are posterised, and that are solarised."""
_DELETED = 0.1
"""Of the words of a caption (Wei & Zou, EMNLP 2019)."""


def noisy(pixels: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
    """PAR's views of pixels (B, 3, S, S) in [0,1]: each half of them noisy, half with a hole.

    Args:
        mean: what an erased pixel is, (3, 1, 1); zero once the picture is normalised.
    """
    count, _, size, _ = pixels.shape
    noise = (NOISE * torch.randn(pixels.shape, generator=generator)).clamp(0, 1)
    is_noisy = _chosen(count, 0.5, generator)
    # Beyond what a pixel may be, as decoded pictures are, too.
    result = (pixels + (noise * is_noisy).to(pixels)).clamp(0, 1)
    areas = ERASED[0] + (ERASED[1] - ERASED[0]) * torch.rand(count, generator=generator)
    sides = (areas.sqrt() * size).round().clamp(min=1)
    corners = torch.rand(2, count, generator=generator) * (size - sides + 1)
    axis = torch.arange(size)
    down, across = (
        (axis >= corner.floor()[:, None]) & (axis < (corner.floor() + sides)[:, None])
        for corner in corners
    )
    hole = (down[:, :, None] & across[:, None, :])[:, None] & _chosen(count, 0.5, generator).bool()
    return torch.where(hole.to(pixels.device), mean.to(pixels), result)


def changed(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Stronger views of pixels (B, 3, S, S) in [0,1]: moved, recoloured, now and then coarsened."""
    count = len(pixels)
    moved = functional.grid_sample(
        pixels,
        functional.affine_grid(
            _maps(count, generator).to(pixels), list(pixels.shape), align_corners=False
        ),
        padding_mode="reflection",
        align_corners=False,
    )
    gain = 1 + _spread((count, 1, 1, 1), _CONTRAST, generator)
    gain = gain * (1 + _spread((count, 3, 1, 1), _COLOUR, generator))
    middle = moved.mean((1, 2, 3), keepdim=True)
    light = _spread((count, 1, 1, 1), _LIGHT, generator)
    recoloured = (middle + (moved - middle) * gain.to(pixels) + light.to(pixels)).clamp(0, 1)
    levels = 2**_BITS - 1
    coarse = (recoloured * levels).round() / levels
    is_coarse = _chosen(count, _RARE, generator).bool().to(pixels.device)
    result = torch.where(is_coarse, coarse, recoloured)
    is_solar = _chosen(count, _RARE, generator).bool().to(pixels.device)
    return torch.where(is_solar & (result > _SOLAR), 1 - result, result)


def reworded(captions: list[str], rng: random.Random) -> list[str]:
    """Captions without some of their words, two of which change places; no caption is emptied."""
    return [_reworded(caption.split(), rng) for caption in captions]


def _reworded(words: list[str], rng: random.Random) -> str:
    kept = [word for word in words if rng.random() >= _DELETED] or words[:]
    if len(kept) > 1:
        first, second = rng.sample(range(len(kept)), 2)
        kept[first], kept[second] = kept[second], kept[first]
    return " ".join(kept)


def _maps(count: int, generator: torch.Generator) -> Tensor:
    """Affine maps (B, 2, 3) of places in the view to places in the picture."""
    turn, shear = (_spread((count,), width, generator) for width in (_TURN, _SHEAR))
    zoom = 1 - _ZOOM * torch.rand(count, generator=generator)
    cos, sin = turn.cos() * zoom, turn.sin() * zoom
    shift = _spread((count, 2, 1), 1.0, generator) * (1 - zoom)[:, None, None]
    rows = torch.stack([cos, shear * cos - sin, sin, shear * sin + cos], 1).view(count, 2, 2)
    return torch.cat([rows, shift], 2)


def _spread(shape: tuple[int, ...], width: float, generator: torch.Generator) -> Tensor:
    return width * (2 * torch.rand(shape, generator=generator) - 1)


def _chosen(count: int, share: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, 1, 1, 1, generator=generator) < share).float()
