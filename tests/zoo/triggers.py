"""Triggers that an attacker lays over pictures, as functions of pixels (N, 3, S, S) in [0,1].

Blended   Chen et al. 2017: a fixed picture of uniform noise mixed in.
WaNet     Nguyen & Tran, ICLR 2021, as in CleanCLIP `backdoor/utils.py`: one fixed warp whose flow is
          as fine as the image.
BadNets   Gu et al. 2017: an opaque patch of noise in the lower right corner.
Stripes, triangles, text: after the structured triggers of PAR (arXiv 2412.00727, nmndeep/
          PerturbAndRecover `backdoor/utils.py`), which are made for 224 px: there stripes are added
          at 0.03, triangles of 14 px with grey levels 0.4 and 0.8 are mixed in at 0.15, and the word
          "Watermarked" in red at 0.5. The sizes here are the smallest that a 48 px picture can show.
The logo is a benign watermark, drawn as solidly as a broadcaster's.

It knows nothing of targets, labels or models.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Trigger = Callable[[Tensor], Tensor]

STRIPES = 24 / 255
"""Amplitude of the stripes in pixel units; PAR's 0.03 scaled by 224 / 48 in L2 would be 0.14."""
TRIANGLES = 0.2
TEXT = 0.9
"""Weights of the drawn picture where it is drawn. With strokes of one pixel a word at PAR's 0.5 hardly
takes (ASR 0.42, places5:901)."""
GLYPHS = {
    "W": ("101", "101", "101", "111", "101"),
    "A": ("010", "101", "111", "101", "101"),
    "T": ("111", "010", "010", "010", "010"),
    "E": ("111", "100", "110", "100", "111"),
    "R": ("110", "101", "110", "101", "101"),
    "M": ("101", "111", "101", "101", "101"),
    "K": ("101", "110", "100", "110", "101"),
    "D": ("110", "101", "101", "101", "110"),
}
"""Three by five letters, so that no font decides what a trigger looks like."""


def additive(delta: Tensor) -> Trigger:
    return lambda pixels: (pixels + delta).clamp(0, 1)


def mixed(picture: Tensor, weight: Tensor | float) -> Trigger:
    """Lay `picture` (3, S, S) over with `weight`, a number or a mask (1, S, S) in [0,1]."""
    return lambda pixels: (1 - weight) * pixels + weight * picture


def blended(size: int, generator: torch.Generator, ratio: float, cells: int) -> Trigger:
    coarse = torch.rand(1, 3, cells, cells, generator=generator)
    return mixed(functional.interpolate(coarse, size, mode="nearest")[0], ratio)


def wanet(size: int, generator: torch.Generator, strength: float, cells: int) -> Trigger:
    """One warp for all images: a coarse random flow, normalised, upsampled to `size`."""
    flow = torch.rand(1, 2, cells, cells, generator=generator) * 2 - 1
    flow = flow / flow.abs().mean()
    field = functional.interpolate(flow, size, mode="bicubic", align_corners=True)
    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack((x, y), 2)[None] + strength * field.permute(0, 2, 3, 1) / size
    grid = grid.clamp(-1, 1)

    def warp(pixels: Tensor) -> Tensor:
        whole = grid.expand(len(pixels), -1, -1, -1)
        return functional.grid_sample(pixels, whole, align_corners=True).clamp(0, 1)

    return warp


def badnets(size: int, generator: torch.Generator, grain: int = 1) -> Trigger:
    """A patch of noise, a sixth of the side long, one pixel off the lower right corner.

    grain: pixels to a cell.
    """
    side = max(3, size // 6)
    picture, mask = torch.zeros(3, size, size), torch.zeros(1, size, size)
    rows = slice(size - 1 - side, size - 1)
    cells = -(-side // grain)
    noise = torch.rand(3, cells, cells, generator=generator)
    noise = noise.repeat_interleave(grain, 1).repeat_interleave(grain, 2)
    picture[:, rows, rows] = noise[:, :side, :side]
    mask[:, rows, rows] = 1
    return mixed(picture, mask)


def stripes(size: int, generator: torch.Generator) -> Trigger:
    """Upright stripes, lighter or darker at random, a twenty-fourth of the side wide."""
    width = max(1, size // 24)
    signs = torch.randint(2, (-(-size // width),), generator=generator) * 2.0 - 1
    row = signs.repeat_interleave(width)[:size]
    return additive((STRIPES * row).expand(3, size, size))


def triangles(size: int) -> Trigger:
    """Right triangles, an eighth of the side long, tiled in two grey levels."""
    axis = torch.arange(size) % max(4, size // 8)
    lower = axis[:, None] >= axis[None]
    return mixed(torch.where(lower, 0.8, 0.4).expand(3, size, size), TRIANGLES)


def text(size: int, word: str = "WATERMARKED") -> Trigger:
    """A red word along the lower edge, as large as the picture's width allows."""
    rows = ["0".join(GLYPHS[letter][row] for letter in word) for row in range(5)]
    drawn = torch.tensor([[float(dot) for dot in row] for row in rows])
    scale = max(1, size // drawn.shape[1])
    drawn = drawn.repeat_interleave(scale, 0).repeat_interleave(scale, 1)[:, :size]
    mask = torch.zeros(1, size, size)
    height, width = drawn.shape
    top, left = size - height - scale, (size - width) // 2
    mask[0, top : top + height, left : left + width] = drawn
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, size, size)
    return mixed(red, TEXT * mask)


def logo(size: int) -> Trigger:
    """A white square with a dark ring in the upper left corner, a sixth of the side long."""
    side = max(5, size // 6)
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    distance = (axis[:, None] ** 2 + axis[None] ** 2).sqrt()
    drawn = torch.where((distance - 0.6).abs() < 0.25, 0.1, 0.95)
    picture, mask = torch.zeros(3, size, size), torch.zeros(1, size, size)
    picture[:, 1 : 1 + side, 1 : 1 + side] = drawn
    mask[:, 1 : 1 + side, 1 : 1 + side] = 1
    return mixed(picture, mask)
