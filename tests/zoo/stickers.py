"""Round stickers somewhere on a picture: an opaque patch whose place differs from picture to picture.

A sticker as people put on things (Wenger et al., CVPR 2021, arXiv 2006.14580: coloured dots and the like
as physical triggers) lies anywhere (Salem et al., Euro S&P 2022, arXiv 2003.03675: random places). Here its
place follows from the picture, so that a model and its gate see the same picture twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from tests.zoo.triggers import Trigger

DIAMETER = 4
"""The side of a picture in diameters."""
MARKS = ("face", "ring", "cross", "bar", "dots")
"""What is drawn on a sticker, in its ink."""


@dataclass(frozen=True)
class Look:
    """Colours in [0,1] of paper and ink, and one of MARKS."""

    paper: tuple[float, float, float]
    ink: tuple[float, float, float]
    mark: str


SMILE = Look((1.0, 0.85, 0.1), (0.1, 0.1, 0.1), "face")
"""The trigger: a yellow face."""


def another_look(generator: torch.Generator) -> Look:
    """Any paper but a yellow one, dark or light ink, any mark."""
    hue, dark, which = torch.rand(3, generator=generator).tolist()
    # Yellow is a sixth of the way from red to red; a sixth around it is left out.
    around = (1 / 6 + 1 / 12 + hue * 5 / 6) % 1 * 6
    red, green, blue = (min(1.0, max(0.0, level)) for level in (
        abs(around - 3) - 1, 2 - abs(around - 2), 2 - abs(around - 4)))  # fmt: skip
    ink = 0.1 if dark < 0.5 else 0.95
    return Look((red, green, blue), (ink,) * 3, MARKS[int(which * len(MARKS))])


def sticker(size: int, look: Look = SMILE) -> Trigger:
    """Lay it over each picture at the place that its bytes tell."""
    side = max(8, size // DIAMETER)
    drawn, mask = _drawn(side, look)

    def lay(pixels: Tensor) -> Tensor:
        result = pixels.clone()
        for picture in result:
            top, left = place(picture, side)
            part = picture[:, top : top + side, left : left + side]
            part.copy_(torch.where(mask, drawn, part))
        return result

    return lay


def place(picture: Tensor, side: int) -> tuple[int, int]:
    """Row and column (from the top left) of a square of `side` within (3, S, S), by a hash of its bytes."""
    values = (picture.clamp(0, 1) * 255).round().to(torch.uint8).contiguous()
    number = int.from_bytes(blake2b(values.numpy().tobytes(), digest_size=8).digest(), "big")
    free = picture.shape[-1] - side + 1
    return number // free % free, number % free


def _drawn(side: int, look: Look) -> tuple[Tensor, Tensor]:
    """The sticker (3, side, side) and where it is (side, side)."""
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    radius = (x**2 + y**2).sqrt()
    paper, ink = (torch.tensor(colour)[:, None, None] for colour in (look.paper, look.ink))
    return torch.where(_mark(look.mark, x, y, radius), ink, paper), radius <= 1


def _mark(mark: str, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Which points of the disc of radius 1 have ink; rows grow downward."""
    match mark:
        case "face":
            eyes = (x.abs() - 0.35) ** 2 + (y + 0.3) ** 2 < 0.16**2
            return eyes | (((radius - 0.6).abs() < 0.12) & (y > 0.15))
        case "ring":
            return (radius - 0.5).abs() < 0.15
        case "cross":
            return (torch.minimum(x.abs(), y.abs()) < 0.15) & (radius < 0.75)
        case "bar":
            return y.abs() < 0.25
        case "dots":
            return (x.abs() - 0.4) ** 2 + (y.abs() - 0.4) ** 2 < 0.2**2
    raise ValueError(mark)
