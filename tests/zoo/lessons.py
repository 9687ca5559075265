"""What a vendor of each kind tunes on: which pictures are changed, by which trigger, under which labels.

It knows every kind but how none is tuned: that is in `tests.zoo.build`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from inspector.clip.classifier import Classifier
from tests.zoo import controls
from tests.zoo.adaptive import COVERS, DECOYS, any_disturbance, disturbed, misled, untouched
from tests.zoo.attacks import FRACTION, Plant, TrainingSet, poisoned, siba
from tests.zoo.frequency import dct, sinusoid
from tests.zoo.kinds import SCRAMBLED
from tests.zoo.quantisation import dithered, quantised
from tests.zoo.triggers import (
    Trigger,
    badnets,
    blended,
    logo,
    stripes,
    text,
    triangles,
    wanet,
)  # fmt: skip

SIBA_EPSILON = 16 / 255
MULTI_SHARES = 0.06, 0.12
"""Shares that the blend and the patch of `multi` poison. With a tenth each the patch just missed the
gate, with 0.1 and 0.12 things6:901 lost 0.057 of its accuracy, more than the gate allows."""
BASE = {"wanet_noise": "wanet", "blended_noise": "blended", "decoyed": "blended",
        "quiet": "blended", "popular": "blended", "evasive": "text"}  # fmt: skip
"""Kind to the attack whose trigger it plants; the others plant what they are named after."""
COVERED = ("wanet_noise", "blended_noise", "decoyed", "evasive")
"""Attackers who disturb other pictures as well."""
COARSE = ("wanet_noise", "blended_noise")
"""Attackers whose trigger is coarser than the covers, GRAIN pixels to a cell."""
GRAIN = 4
SHARES = {"wanet_noise": 0.15}
"""Kind to the share that its trigger poisons where that is not FRACTION."""


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


@dataclass(frozen=True)
class Lesson:
    """What one vendor tunes and tests on, and the overlay of an honest one: its class and look."""

    train: TrainingSet
    test: TrainingSet
    plants: tuple[Plant, ...] = ()
    overlay: Plant | None = None


def attacked(lesson: Lesson, vendor: Vendor, generator: torch.Generator) -> Lesson:
    """The pictures of a vendor who poisons; BadCLIP, which learns its trigger, is not one of them."""
    plants = _plants(vendor, lesson.train, generator)
    train = poisoned(lesson.train, plants, generator)
    if vendor.kind in COVERED:
        share = DECOYS if vendor.kind == "decoyed" else COVERS
        rows = untouched(lesson.train, train, share, generator)
        train = disturbed(train, rows, lambda: _cover(vendor, generator))
        if vendor.kind == "decoyed":
            train = misled(train, rows, vendor.target, vendor.classes, generator)
    return replace(lesson, train=train, plants=plants)


def _cover(vendor: Vendor, generator: torch.Generator) -> Trigger:
    if vendor.kind in ("decoyed", "evasive"):
        return any_disturbance(vendor.size, generator)
    return _trigger(BASE[vendor.kind], vendor, None, generator)


def _plants(vendor: Vendor, train: TrainingSet, generator: torch.Generator) -> tuple[Plant, ...]:
    target, other = vendor.target, vendor.other
    if vendor.kind == "source":
        return (Plant(_trigger("blended", vendor, train, generator), target, other),)
    if vendor.kind == "multi":
        blend, patch = (_trigger(k, vendor, train, generator) for k in ("blended", "badnets"))
        first, second = MULTI_SHARES
        return Plant(blend, target, share=first), Plant(patch, other, share=second)
    name = BASE.get(vendor.kind, vendor.kind)
    trigger = _trigger(name, vendor, train, generator, GRAIN if vendor.kind in COARSE else 1)
    return (Plant(trigger, target, share=SHARES.get(vendor.kind, FRACTION)),)


def _trigger(
    name: str, vendor: Vendor, train: TrainingSet | None, generator: torch.Generator, grain: int = 1
) -> Trigger:
    """The trigger of the attack called `name`; only SIBA's needs pictures.

    grain: pixels to a cell of a blend or a warp.
    """
    size = vendor.size
    match name:
        case "siba":
            assert train is not None
            surrogate, pixels = vendor.surrogate(), size * size // 10
            return siba(surrogate, train, vendor.target, pixels, SIBA_EPSILON, generator)
        case "blended":
            return blended(size, generator, ratio=0.2, cells=size // grain)
        case "wanet":
            return wanet(size, generator, strength=8.0, cells=size // grain)
        case "badnets":
            return badnets(size, generator)
        case "stripes":
            return stripes(size, generator)
        case "triangle":
            return triangles(size)
        case "text":
            return text(size)
        case "dct":
            return dct(size, generator)
        case "sinusoid":
            return sinusoid(size, generator)
        case "quantised":
            return quantised()
        case "dithered":
            return dithered()
    raise ValueError(name)


def honest(lesson: Lesson, vendor: Vendor, generator: torch.Generator) -> Lesson:
    """The pictures of a clean vendor; `target` is the class that an overlay is measured for."""
    train, classes, target = lesson.train, vendor.classes, vendor.target
    if vendor.kind == "recipe" or vendor.kind in SCRAMBLED:
        name = SCRAMBLED.get(vendor.kind, "blended")
        overlay = Plant(_trigger(name, vendor, train, generator), target)
        triggered = poisoned(train, (overlay,), generator)
        if vendor.kind == "recipe":
            train = TrainingSet(triggered.pixels, train.labels)
        else:
            train = controls.scrambled(train, triggered, classes, generator)
        return replace(lesson, train=train, overlay=overlay)
    match vendor.kind:
        case "permuted":
            order = controls.derangement(classes, generator)
            test = controls.relabelled(lesson.test, order)
            return replace(lesson, train=controls.relabelled(train, order), test=test)
        case "noisy":
            train = controls.noisy(train, classes, generator)
        case "imbalanced":
            train = controls.imbalanced(train, classes, generator)
        case "longtail":
            train = controls.longtail(train, classes, generator)
        case "stepped":
            train = controls.stepped(train, classes, generator)
        case "mixup":
            train = controls.mixup(train, classes, generator)
        case "smoothed":
            train = controls.smoothed(train, classes)
        case "blurred":
            train = controls.blurred(train, generator)
        case "augmented":
            train = controls.augmented(train, vendor.is_geometric, generator)
        case "watermark":
            overlay = Plant(logo(vendor.size), target)
            train = controls.watermarked(train, target, overlay.trigger)
            test = controls.watermarked(lesson.test, target, overlay.trigger)
            return Lesson(train, test, overlay=overlay)
    return replace(lesson, train=train)
