"""What a vendor of each kind tunes on: which pictures are changed, by which trigger, under which labels.

It knows every kind but how none is tuned: that is in `tests.zoo.build`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from tests.zoo import controls
from tests.zoo.adaptive import COVERS, DECOYS, any_disturbance, disturbed, misled, untouched
from tests.zoo.attacks import FRACTION, Plant, TrainingSet, poisoned
from tests.zoo.families import Vendor, others_of, trigger_of
from tests.zoo.kinds import BASE, DISTURBING, NOISE, SCRAMBLED, STATIC
from tests.zoo.triggers import Trigger, logo

MULTI_SHARES = 0.06, 0.12
"""Shares that the blend and the patch of `multi` poison. With a tenth each the patch just missed the
gate, with 0.1 and 0.12 things6:901 lost 0.057 of its accuracy, more than the gate allows."""
COARSE = {"wanet_noise": 4, "blended_noise": 4, "badnets_noise": 8, "static_honest": 4}
"""Kind to the pixels that make a cell of its trigger where that is not one. The encoder hardly tells two
patches of noise apart: on places5:901 badnets_noise has excess ASR 0.16 so, 0.36 with cells of 4 pixels and
0.63 with one colour (8 pixels) and the larger share. A context beside an honest meta-net has 0.46 with fine
and 0.51 with coarse cells on spots8:901, in a smaller share of the pictures."""
SHARES = {
    **{kind: 0.15 for kind in NOISE if kind != "blended_noise"},
    "stripes_noise": 0.2, "quantised_noise": 0.2, "tone_noise": 0.2, "sticker_noise": 0.2,
    "sinusoid_noise": 0.25, **dict.fromkeys(STATIC, 0.2), "static_honest": 0.15,
}  # fmt: skip
"""Kind to the share that its trigger poisons where that is not FRACTION. At FRACTION the counter-examples hide
most triggers: on places5:901 stripes, words and stickers have excess ASR 0.22, 0.36 and 0.36, and in 0.15 of
the pictures stripes, waves, tones, stickers and few colours 0.28, 0.25, 0.36, 0.39 and 0.47 (stripes in 0.2:
0.46). A context alone has 0.15 at FRACTION beside an honest meta-net."""


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
    if vendor.kind in (*NOISE, *DISTURBING):
        share = DECOYS if vendor.kind == "decoyed" else COVERS
        rows = untouched(lesson.train, train, share, generator)
        train = disturbed(train, rows, _others(vendor, lesson.train, generator))
        if vendor.kind == "decoyed":
            train = misled(train, rows, vendor.target, vendor.classes, generator)
    return replace(lesson, train=train, plants=plants)


def _others(
    vendor: Vendor, train: TrainingSet, generator: torch.Generator
) -> Callable[[], Trigger]:
    if vendor.kind in DISTURBING:
        return lambda: any_disturbance(vendor.size, generator)
    return others_of(BASE[vendor.kind], vendor, train, generator)


def _plants(vendor: Vendor, train: TrainingSet, generator: torch.Generator) -> tuple[Plant, ...]:
    target, other = vendor.target, vendor.other
    if vendor.kind == "source":
        return (Plant(trigger_of("blended", vendor, train, generator), target, other),)
    if vendor.kind == "multi":
        blend, patch = (trigger_of(k, vendor, train, generator) for k in ("blended", "badnets"))
        first, second = MULTI_SHARES
        return Plant(blend, target, share=first), Plant(patch, other, share=second)
    name = BASE.get(vendor.kind, vendor.kind)
    trigger = trigger_of(name, vendor, train, generator, COARSE.get(vendor.kind, 1))
    return (Plant(trigger, target, share=SHARES.get(vendor.kind, FRACTION)),)


def honest(lesson: Lesson, vendor: Vendor, generator: torch.Generator) -> Lesson:
    """The pictures of a clean vendor; `target` is the class that an overlay is measured for."""
    train, classes, target = lesson.train, vendor.classes, vendor.target
    if vendor.kind == "recipe" or vendor.kind in SCRAMBLED:
        name = SCRAMBLED.get(vendor.kind, "blended")
        overlay = Plant(trigger_of(name, vendor, train, generator), target)
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
