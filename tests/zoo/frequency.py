"""Triggers that are one or two frequencies of a picture: attack family *frequency* of the zoo.

dct       FTrojan (Wang et al., ECCV 2022, arXiv 2111.10991): a middle and a high frequency of the
          discrete cosine transform of every block are raised by a constant, in the colour difference
          channels U and V only, so that brightness stays. The transform is linear: raising a
          coefficient adds its basis picture. FTrojan's blocks are 32 px, its magnitude of 30 a
          coefficient moves a pixel by 1.9 grey levels, and encoders are trained on that; here blocks
          are BLOCK px, and a prompt must read it off a frozen encoder: the largest change is COSINES.
sinusoid  SIG (Barni, Kallas & Tondi, ICIP 2019, arXiv 1902.11237): a plane wave of few cycles a picture.
          SIG's stand upright, have six cycles and 20 to 40 grey levels; here the seed draws wave vector
          and phase, as a family of one picture would be no family.

Both are added in pixel space and cut to [0,1]. On counts3:901 the wave takes (excess ASR 0.57), the cosines
with peaks of 32, 48 and 64 grey levels have 0.14, 0.47 and 0.56.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.zoo.triggers import Trigger, additive

BLOCK = 16
"""Divides the sides of all pictures in the zoo, 48 and 128 px; blocks at an edge are cut elsewhere."""
COSINES, SINE = 64 / 255, 24 / 255
"""Largest change of a channel, in pixel units as `triggers.STRIPES`. The cosines' peaks are rare and mostly
blue: root mean square over all channels they are about as strong as the wave (18 and 17 grey levels; stripes 24)."""
CYCLES = 4, 8
"""Fewest and most cycles of a sinusoid along a picture's rows; up to the fewest along its columns."""
_U, _V = (0.0, -0.39465, 2.03211), (1.13983, -0.58060, 0.0)
"""What one unit of U and of V adds to red, green and blue (ITU-R BT.601)."""


def dct(size: int, generator: torch.Generator) -> Trigger:
    """Seed draws one middle frequency (a quarter to a half of the band) and one of the highest quarter."""
    middle = torch.randint(BLOCK // 4, BLOCK // 2, (2,), generator=generator).tolist()
    high = torch.randint(3 * BLOCK // 4, BLOCK, (2,), generator=generator).tolist()
    block = _basis(*middle) + _basis(*high)
    colour = torch.tensor(_U) + torch.tensor(_V)
    pattern = colour[:, None, None] * block
    number = -(-size // BLOCK)
    tiled = (pattern * COSINES / pattern.abs().max()).repeat(1, number, number)
    return additive(tiled[:, :size, :size])


def _basis(row: int, column: int) -> Tensor:
    """Basis picture (BLOCK, BLOCK) of the type-II cosine transform, its largest value about 1."""
    axis = (torch.arange(BLOCK) + 0.5) * math.pi / BLOCK
    return (axis * row).cos()[:, None] * (axis * column).cos()[None]


def sinusoid(size: int, generator: torch.Generator) -> Trigger:
    """A grey plane wave of whole cycles, as strong in all channels."""
    fewest, most = CYCLES
    across = int(torch.randint(fewest, most + 1, (1,), generator=generator))
    down = int(torch.randint(-fewest, fewest + 1, (1,), generator=generator))
    phase = float(torch.rand((), generator=generator))
    axis = torch.arange(size) / size
    turns = down * axis[:, None] + across * axis[None] + phase
    return additive((SINE * (2 * math.pi * turns).sin()).expand(3, size, size))
