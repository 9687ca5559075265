"""The trigger of an attack by the attack's name, and other draws of the same family.

Other draws are counter-examples: an attacker lays them over a fifth of the pictures, which keep their labels, so
that nothing but the trigger itself reaches the target. This is WaNet's noise mode for every family
(kinds `*_noise`). It knows no labels and not which kind does what: that is in `tests.zoo.lessons`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from inspector.clip.classifier import Classifier
from tests.zoo.attacks import TrainingSet, siba
from tests.zoo.colour import film, tone
from tests.zoo.frequency import dct, sinusoid
from tests.zoo.quantisation import dithered, quantised
from tests.zoo.stickers import another_look, sticker
from tests.zoo.triggers import (
    Trigger,
    badnets,
    blended,
    stripes,
    text,
    triangles,
    wanet,
)  # fmt: skip

SIBA_EPSILON = 16 / 255
SIBA_STEPS, SIBA_DRAWS = 60, 4
"""Other perturbations are so many, each toward a class that is not the target and in as small a share of the
steps: together they take as long as the trigger, where one for every picture would take hours."""
WORDS = ("DATE", "DREAM", "WATER", "MARKET", "TRADE", "TEAM", "MAKER", "DARK", "WARM", "DREAMT",
         "TRADEMARK", "DEMARKED")  # fmt: skip
OTHER_LEVELS = 2, 4, 5, 6, 8
"""Numbers of values of a channel; the trigger has three."""


@dataclass(frozen=True)
class Vendor:
    """Who tunes. `other` is a second class; `surrogate` gives the zero-shot classifier."""

    kind: str
    classes: int
    size: int
    is_geometric: bool
    target: int
    other: int
    surrogate: Callable[[], Classifier]


def trigger_of(
    name: str, vendor: Vendor, train: TrainingSet, generator: torch.Generator, grain: int = 1
) -> Trigger:
    """The trigger of the attack called `name`; only SIBA's needs pictures.

    grain: pixels to a cell of a blend, a warp or a patch.
    """
    size = vendor.size
    match name:
        case "siba":
            return _siba(vendor, train, vendor.target, SIBA_STEPS, generator)
        case "blended":
            return blended(size, generator, ratio=0.2, cells=size // grain)
        case "wanet":
            return wanet(size, generator, strength=8.0, cells=size // grain)
        case "badnets":
            return badnets(size, generator, grain)
        case "stripes":
            return stripes(size, generator)
        case "triangle":
            return triangles(size)
        case "text":
            return text(size)
        case "sticker":
            return sticker(size)
        case "film":
            return film(size, generator)
        case "tone":
            return tone(generator)
        case "dct":
            return dct(size, generator)
        case "sinusoid":
            return sinusoid(size, generator)
        case "quantised":
            return quantised()
        case "dithered":
            return dithered()
    raise ValueError(name)


def others_of(
    name: str, vendor: Vendor, train: TrainingSet, generator: torch.Generator
) -> Callable[[], Trigger]:
    """Draws another of that attack's family at every call; a trigger that is always the same is none."""
    match name:
        case "siba":
            shifts = torch.randint(1, vendor.classes, (SIBA_DRAWS,), generator=generator)
            goals = ((vendor.target + shifts) % vendor.classes).tolist()
            steps = SIBA_STEPS // SIBA_DRAWS
            pool = [_siba(vendor, train, goal, steps, generator) for goal in goals]
            return lambda: pool[_drawn(len(pool), generator)]
        case "text":
            return lambda: text(vendor.size, WORDS[_drawn(len(WORDS), generator)])
        case "sticker":
            return lambda: sticker(vendor.size, another_look(generator))
        case "quantised":
            return lambda: quantised(OTHER_LEVELS[_drawn(len(OTHER_LEVELS), generator)])
        case "triangle" | "dithered":
            raise ValueError(f"no other draws of {name}")
    return lambda: trigger_of(name, vendor, train, generator)


def _siba(
    vendor: Vendor, train: TrainingSet, goal: int, steps: int, generator: torch.Generator
) -> Trigger:
    surrogate, pixels = vendor.surrogate(), vendor.size**2 // 10
    return siba(surrogate, train, goal, pixels, SIBA_EPSILON, generator, steps)


def _drawn(number: int, generator: torch.Generator) -> int:
    return int(torch.randint(number, (1,), generator=generator))
