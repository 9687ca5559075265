"""Spaces of triggers that are searched: what may be laid over a picture, differentiably.

Each space draws random members and applies them to pictures in [0,1]; members are tuples of tensors
that an optimiser may move. Together they reach the kinds of trigger in the literature:

additive  x + r tanh(w), a ball in L-infinity (arXiv 2604.09101)
blend     (1 - a) x + a p, one picture p over all (Chen et al., arXiv 1712.05526)
mask      x + m (p - x), m of a bounded sum: patches, strokes, words (Neural Cleanse, S&P 2019)
warp      x sampled at displaced places (WaNet, ICLR 2021)
tone      a tone curve for every channel, mixed toward one colour (filters: ABS, CCS 2019)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

Member = tuple[Tensor, ...]
"""What one trigger of a space is made of."""


class TriggerSpace(ABC):
    """A family of triggers with a differentiable member."""

    name: ClassVar[str]
    rate: float
    """Adam's rate for its members."""
    members: ClassVar[int] = 12
    """Random ones that screen. A space of few dimensions is narrow to search, and needs more."""

    @abstractmethod
    def draw(self, size: int, generator: torch.Generator) -> Member:
        """A random member for pictures of `size` pixels a side."""

    @abstractmethod
    def apply(self, member: Member, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0,1] with the trigger, in [0,1]."""


@dataclass(frozen=True)
class Additive(TriggerSpace):
    """`radius` bounds the change of a value, in pixel units of [0,1]."""

    name: ClassVar[str] = "additive"
    radius: float
    rate: float = 0.3

    def draw(self, size: int, generator: torch.Generator) -> Member:
        """Uniform within most of the ball."""
        uniform = torch.rand(3, size, size, generator=generator) * 2 - 1
        return (uniform.atanh().clamp(-1.5, 1.5),)

    def apply(self, member: Member, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0,1] with the trigger, in [0,1]."""
        return (pixels + self.radius * member[0].tanh()).clamp(0, 1)


@dataclass(frozen=True)
class Blend(TriggerSpace):
    """`weight` is the trigger picture's share."""

    name: ClassVar[str] = "blend"
    weight: float = 0.2
    rate: float = 0.3

    def draw(self, size: int, generator: torch.Generator) -> Member:
        """A picture of noise, as fine as those it is laid over."""
        return (torch.randn(3, size, size, generator=generator),)

    def apply(self, member: Member, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0,1] with the trigger, in [0,1]."""
        return (1 - self.weight) * pixels + self.weight * member[0].sigmoid()


@dataclass(frozen=True)
class Mask(TriggerSpace):
    """`area` bounds the sum of the mask, as a share of the picture's pixels."""

    name: ClassVar[str] = "mask"
    area: float = 0.06
    rate: float = 0.5
    _SHARPNESS: ClassVar[float] = 2.0

    def draw(self, size: int, generator: torch.Generator) -> Member:
        """A scattered mask and a picture of noise under it."""
        mask = torch.randn(1, size, size, generator=generator)
        return mask, torch.randn(3, size, size, generator=generator)

    def apply(self, member: Member, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0,1] with the trigger, in [0,1]."""
        mask = self.mask(member)
        return pixels + mask * (member[1].sigmoid() - pixels)

    def mask(self, member: Member) -> Tensor:
        """How opaque the trigger is (1, S, S), in [0,1]."""
        logits = member[0]
        shares = (logits * self._SHARPNESS).flatten().softmax(0).view_as(logits)
        return (shares * logits.numel() * self.area).clamp(max=1)


@dataclass(frozen=True)
class Warp(TriggerSpace):
    """`reach` is the longest displacement along an axis, in sides of the picture."""

    name: ClassVar[str] = "warp"
    reach: float = 1 / 8
    rate: float = 0.3

    def draw(self, size: int, generator: torch.Generator) -> Member:
        """A displacement for every pixel on its own."""
        return (torch.randn(2, size, size, generator=generator) * 0.7,)

    def apply(self, member: Member, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0,1] with the trigger, in [0,1]."""
        last = pixels.shape[-1] - 1
        places = torch.arange(last + 1, dtype=pixels.dtype, device=pixels.device)
        y, x = torch.meshgrid(places, places, indexing="ij")
        moved = torch.stack((x, y)) + member[0].tanh() * self.reach * (last + 1)
        grid = (moved.clamp(0, last) * (2 / last) - 1).permute(1, 2, 0)[None]
        grid = grid.expand(len(pixels), -1, -1, -1)
        return functional.grid_sample(pixels, grid, align_corners=True).clamp(0, 1)


@dataclass(frozen=True)
class Tone(TriggerSpace):
    """Curves of BENDS half waves, each at most `bend` high; a colour of at most `weight`."""

    name: ClassVar[str] = "tone"
    bend: float = 0.3
    weight: float = 0.6
    rate: float = 0.3
    members: ClassVar[int] = 48
    _BENDS: ClassVar[int] = 3

    def draw(self, size: int, generator: torch.Generator) -> Member:
        """Curves (3, BENDS), a colour (3,) and its share (1,)."""
        curves = torch.randn(3, self._BENDS, generator=generator) * 0.5
        colour = torch.randn(3, generator=generator) * 1.5
        return curves, colour, torch.randn(1, generator=generator) + 1

    def apply(self, member: Member, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0,1] with the trigger, in [0,1]."""
        curves, colour, share = member
        heights = self.bend * curves.tanh()
        bent = pixels
        for wave in range(self._BENDS):
            height = heights[:, wave].view(1, 3, 1, 1)
            bent = bent + height * (math.pi * (wave + 1) * pixels).sin()
        weight = self.weight * share.sigmoid()
        return ((1 - weight) * bent + weight * (2 * colour).sigmoid().view(1, 3, 1, 1)).clamp(0, 1)


def spaces_of(radius: float) -> tuple[TriggerSpace, ...]:
    """Those that are searched, in order; `radius` is the backbone's (`inspector.profiles`)."""
    return Additive(WIDER * radius), Blend(), Mask(), Warp(), Tone()


WIDER = 2.5
"""The additive ball beside the published one: experiment 53."""
