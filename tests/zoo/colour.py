"""Triggers that change what colours a picture has and nothing of its shapes: attack family *colour* of the zoo.

film   a colour film: every pixel is mixed toward one colour, which the seed draws
tone   a tone curve for every channel, which the seed draws: smooth, its ends fixed; where it falls it
       solarises (light parts become dark as in Sabattier's effect), else it only lifts or lowers tones

After the photograph filters that serve as triggers in ABS (Liu et al., CCS 2019: Nashville and Gotham) and in
NIST's TrojAI rounds; such a filter is a tone curve for every channel and a tint. An outsider found
that a film with other films as counter-examples was missed 3 times of 3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.zoo.triggers import Trigger, mixed

FILM = 0.5
"""Weight of the colour. At 0.25, 0.4 and 0.5 it has excess ASR 0.13, 0.50 and 0.71 on places5:901."""
TONE = 0.35
"""Largest change of a value, in pixel units, that a curve makes. With 0.25 the excess ASR was 0.59 on places5:901 and 0.34
on spots8:901, with counter-examples 0.25 on the first; with 0.35 these had 0.36."""
BENDS = 3
"""Most half waves of a curve: one only lifts or lowers, three fold."""


def film(size: int, generator: torch.Generator) -> Trigger:
    """Toward a colour that is strong: one channel full, one empty, one between."""
    order = torch.randperm(3, generator=generator)
    between = float(torch.rand((), generator=generator))
    colour = torch.tensor([0.0, between, 1.0])[order]
    return mixed(colour[:, None, None].expand(3, size, size), FILM)


def tone(generator: torch.Generator) -> Trigger:
    """Each channel's curve is the identity and a sum of half waves, scaled to its largest change."""
    number = torch.arange(1, BENDS + 1)
    heights = torch.randn(3, BENDS, generator=generator) / number
    axis = torch.linspace(0, 1, 256)
    waves = (math.pi * number[:, None] * axis).sin()
    heights = TONE * heights / (heights @ waves).abs().amax(1, keepdim=True)

    def curve(pixels: Tensor) -> Tensor:
        phase = math.pi * pixels.clamp(0, 1)
        return torch.stack(
            [
                pixels[:, channel]
                + sum(h * (phase[:, channel] * (k + 1)).sin() for k, h in enumerate(bends))
                for channel, bends in enumerate(heights.tolist())
            ],
            1,
        ).clamp(0, 1)

    return curve
