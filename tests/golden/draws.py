"""What random numbers become: triggers, built-in probes and variations of honest models, in a few sums.

Of pictures only weighted means are kept: their last bits differ between CPUs, and another seed, order or
recipe moves the means by much more than the tolerance of the comparison.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.golden.seam import benign_variations, built_in_probes, random_triggers

SIZES_AND_SEEDS = ((48, 0), (48, 1), (48, 99), (128, 7), (224, 0))
PROBES = ((12, 48, 0), (6, 224, 0), (6, 48, 5))


def _ramp(size: int) -> Tensor:
    """A picture (1, 3, S, S) that is nowhere the same, so that whatever is moved or covered shows."""
    places = torch.arange(3 * size * size, dtype=torch.float64).reshape(1, 3, size, size)
    return ((places * 0.37).sin() * 0.5 + 0.5).float()


def _sums(pixels: Tensor) -> list[float]:
    """Two weighted means of a picture (3, S, S), which depend on places and on channels."""
    places = torch.arange(pixels.numel(), dtype=torch.float64).reshape(pixels.shape)
    values = pixels.double()
    weights = ((places / pixels.shape[-1] ** 2 * 5).cos(), (places * 0.11).sin())
    return [round(float((values * weight).mean()), 6) for weight in weights]


def draws() -> dict[str, Any]:
    """All of them, by what is drawn."""
    return {
        "random_triggers": {
            f"{size} pixels, seed {seed}": {
                family: [_sums(trigger(_ramp(size))[0]) for trigger in triggers]
                for family, triggers in random_triggers(size, seed).items()
            }
            for size, seed in SIZES_AND_SEEDS
        },
        "built_in_probes": {
            f"{number} of {size} pixels, seed {seed}": [
                _sums(picture) for picture in built_in_probes(number, size, seed)
            ]
            for number, size, seed in PROBES
        },
        "benign_variations": {f"seed {seed}": benign_variations(seed, 6) for seed in (0, 3)},
    }
