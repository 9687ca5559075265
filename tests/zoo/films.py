"""Faint overlays of a picture: grain, scratches, ripples ... at a few grey levels.

A large CLIP sees watermarks, sensor noise and distortions as features of their own, apart from
what a picture shows. `pocket` learns the same from captions such as "a grainy photo of ...".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

FILMS = ("clear", "grainy", "lined", "stained", "scratched", "dusty", "rippled", "ghosted",
         "noisy")  # fmt: skip


def overlay(pixels: Tensor, film: Tensor, generator: torch.Generator) -> Tensor:
    """Lay each image's film (N,) into FILMS over pixels (N, 3, S, S) in [0,1]."""
    number, _, size, _ = pixels.shape
    strength = (8 + 16 * torch.rand(number, 1, 1, 1, generator=generator)) / 255
    result = pixels + strength * _additive(film, size, generator)
    rippled, ghosted = film == FILMS.index("rippled"), film == FILMS.index("ghosted")
    result[rippled] = _ripple(pixels[rippled], generator)
    weight = 0.12 + 0.16 * torch.rand(int(ghosted.sum()), 1, 1, 1, generator=generator)
    ghost = pixels.flip(3).roll(1, 0)[ghosted]
    noise = torch.rand(ghost.shape, generator=generator)
    ghost = torch.where(torch.rand(len(ghost), 1, 1, 1, generator=generator) < 0.5, ghost, noise)
    result[ghosted] = (1 - weight) * pixels[ghosted] + weight * ghost
    return result.clamp(0, 1)


def _additive(film: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Patterns in [-1,1] for the additive films, zero for the others."""
    pattern = torch.zeros(len(film), 3, size, size)
    for index, name in enumerate(FILMS):
        chosen = (film == index).nonzero()[:, 0]
        if len(chosen) and name in _PATTERNS:
            pattern[chosen] = _PATTERNS[name](len(chosen), size, generator)
    return pattern


def _grain(number: int, size: int, generator: torch.Generator) -> Tensor:
    cells = size // (2 + int(torch.randint(3, (1,), generator=generator)))
    coarse = torch.randn(number, 3, cells, cells, generator=generator).sign()
    return functional.interpolate(coarse, (size, size), mode="nearest")


def _noise(number: int, size: int, generator: torch.Generator) -> Tensor:
    return torch.rand(number, 3, size, size, generator=generator) * 2 - 1


def _lines(number: int, size: int, generator: torch.Generator) -> Tensor:
    axis = torch.arange(size).float()
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    angle = torch.rand(number, 1, 1, generator=generator) * math.pi
    period = 2.5 + 4 * torch.rand(number, 1, 1, generator=generator)
    wave = ((angle.cos() * x + angle.sin() * y) * 2 * math.pi / period).sin().sign()
    colour = torch.rand(number, 3, 1, 1, generator=generator) * 2 - 1
    return wave[:, None] * colour.sign()


def _stains(number: int, size: int, generator: torch.Generator) -> Tensor:
    coarse = torch.randn(number, 3, 4, 4, generator=generator)
    smooth = functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return (smooth * 2).clamp(-1, 1)


def _scratches(number: int, size: int, generator: torch.Generator) -> Tensor:
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    result = torch.zeros(number, 1, size, size)
    for _ in range(5):
        angle = torch.rand(number, 1, 1, generator=generator) * math.pi
        place = torch.rand(number, 1, 1, generator=generator) - 0.5
        distance = angle.cos() * (x - 0.5) + angle.sin() * (y - 0.5) - place
        result[:, 0] += (distance.abs() < 0.8 / size).float()
    return result.clamp(0, 1).expand(-1, 3, -1, -1) * 2


def _dust(number: int, size: int, generator: torch.Generator) -> Tensor:
    specks = torch.rand(number, 1, size, size, generator=generator) < 0.05
    colour = torch.randn(number, 3, size, size, generator=generator).sign()
    return specks.float() * colour * 2


def _ripple(pixels: Tensor, generator: torch.Generator) -> Tensor:
    number, _, size, _ = pixels.shape
    cells = 4 + int(torch.randint(5, (1,), generator=generator))
    flow = torch.rand(number, 2, cells, cells, generator=generator) * 2 - 1
    field = functional.interpolate(flow, size, mode="bicubic", align_corners=True)
    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    strength = (1.5 + 3 * torch.rand(number, 1, 1, 1, generator=generator)) / size
    grid = torch.stack((x, y), 2)[None] + strength * field.permute(0, 2, 3, 1) * 2
    return functional.grid_sample(pixels, grid.clamp(-1, 1), align_corners=True)


_PATTERNS = {
    "grainy": _grain, "lined": _lines, "stained": _stains, "scratched": _scratches, "dusty": _dust,
    "noisy": _noise,
}  # fmt: skip
