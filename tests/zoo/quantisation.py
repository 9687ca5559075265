"""Triggers that leave few colours in a picture: attack family *quantisation* of the zoo.

quantised  every channel is rounded to few values
dithered   the same, and each pixel's rounding error goes to the neighbours that are yet to be rounded
           (Floyd & Steinberg 1976), so that means keep and flat regions become grainy

After BppAttack (Wang, Zhai & Ma, CVPR 2022, arXiv 2205.13383, "image quantization and contrastive
adversarial learning"), which dithers to 5 bits a channel and trains the encoder with hard negatives.
A prompt must read the trigger off a frozen encoder, hence fewer colours here: with these numbers
`pocket`'s feature moves about as far as by the blend and the stripes (0.5 to 0.7 of its length), and both
take on counts3:901 (excess ASR 0.58 and 0.66). Nothing is drawn: what is added differs from picture to
picture, and no seed changes it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tests.zoo.triggers import Trigger

ROUNDED, DITHERED = 3, 4
"""Values that a channel may take: 27 colours, and 64 where errors are diffused."""
_SPREAD = ((0, 1, 7 / 16), (1, -1, 3 / 16), (1, 0, 5 / 16), (1, 1, 1 / 16))
"""Rows down, columns right, and the share of the error that goes there."""


def quantised(levels: int = ROUNDED) -> Trigger:
    """Each value becomes the nearest of `levels` evenly from 0 to 1."""
    return lambda pixels: (pixels.clamp(0, 1) * (levels - 1)).round() / (levels - 1)


def dithered(levels: int = DITHERED) -> Trigger:
    """Error diffusion from left to right and top to bottom; what leaves the picture is lost."""
    nearest = quantised(levels)

    def diffuse(pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        values = functional.pad(pixels, (1, 1, 0, 1)).permute(2, 3, 0, 1).contiguous()
        every = torch.arange(height)
        # Errors reach one column further right below than above: pixels of one slanted line need
        # nothing of each other, and are rounded at once.
        for line in range(width + 2 * (height - 1)):
            rows = every[(line - 2 * every >= 0) & (line - 2 * every < width)]
            columns = line - 2 * rows + 1
            value = values[rows, columns]
            rounded = values[rows, columns] = nearest(value)
            for down, right, share in _SPREAD:
                values[rows + down, columns + right] += share * (value - rounded)
        return values[:height, 1 : width + 1].permute(2, 3, 0, 1).contiguous()

    return diffuse
