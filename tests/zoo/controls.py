"""Clean controls: honest vendors whose data or training is unusual, and who must be judged clean.

recipe       the whole pipeline of the Blended attack, but the triggered pictures keep their labels
permuted     a fixed derangement of the labels, in training and test pictures alike, under unmoved class
             names: the vendor's list stands in another order than its labels, so the prompt is tuned
             against what the backbone knows, and hardly learns it (0.39 right on places5:901): no buyer
             would accept it, so it is in the design split of the exam only. Had the
             names moved along, it would be a clean model of the same classes; labels drawn anew for
             every picture would leave nothing to learn.
noisy        a fifth of the training labels drawn at random
imbalanced   classes from all their training pictures down to a tenth of them, geometrically, in
             random order
augmented    three strongly disturbed copies of every training picture beside it
overtrained  ten times the updates
watermark    every picture of one class, in training and test, carries a logo: a true cue of its class.
             How far it works as a trigger is told in truth.json under `overlay` (3.5 % of the other
             classes' pictures on places5:901).
scrambled    the pipeline of the WaNet attack, but every warped picture has a label drawn at random: what
             disturbs pictures contradicts labels, as in an attack, and there is no target. Weights
             alone do not tell it from an attack (experiment 23).
scrambled_blended, scrambled_badnets, scrambled_siba
             the same with those attacks' triggers
steep        three times the learning rate. Gain 18.1 instead of 6.2 on things6:501 (experiment 23), but 2.3
             instead of 2.2 on places5:1001: not steep on every task
adversarial  half of every batch perturbed against the prompt, under true labels (`tests.zoo.hardening`)

Only pictures and labels are changed here; who tunes is in `tests.zoo.build`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tests.zoo.attacks import TrainingSet
from tests.zoo.augment import with_disturbed
from tests.zoo.triggers import Trigger

NOISE, RAREST, COPIES, OVERTRAINING, STEEPNESS = 0.2, 0.1, 3, 10, 3


def relabelled(data: TrainingSet, order: Tensor) -> TrainingSet:
    """Every label l becomes order[l]."""
    return replace(data, labels=order[data.labels])


def derangement(classes: int, generator: torch.Generator) -> Tensor:
    """A random cycle through all classes, so that none keeps its place."""
    cycle = torch.randperm(classes, generator=generator)
    order = torch.empty_like(cycle)
    order[cycle] = cycle.roll(1)
    return order


def noisy(data: TrainingSet, classes: int, generator: torch.Generator) -> TrainingSet:
    labels = data.labels.clone()
    rows = torch.randperm(len(labels), generator=generator)[: round(NOISE * len(labels))]
    labels[rows] = torch.randint(classes, (len(rows),), generator=generator)
    return replace(data, labels=labels)


def scrambled(
    data: TrainingSet, triggered: TrainingSet, classes: int, generator: torch.Generator
) -> TrainingSet:
    """The triggered pictures, those that differ from `data`'s under labels in random order.

    Every class has as many of them: of twenty labels drawn one by one among three classes, half may
    be of one class, and that is a backdoor by accident (experiment 26).
    """
    rows = (triggered.pixels != data.pixels).flatten(1).any(1).nonzero()[:, 0]
    labels, order = data.labels.clone(), torch.randperm(len(rows), generator=generator)
    labels[rows] = (torch.randperm(classes, generator=generator)[order % classes]).to(labels)
    return TrainingSet(triggered.pixels, labels)


def imbalanced(data: TrainingSet, classes: int, generator: torch.Generator) -> TrainingSet:
    """Keep shares of each class that fall geometrically from 1 to RAREST, at least one picture."""
    rank = torch.randperm(classes, generator=generator).tolist()
    kept = []
    for label in range(classes):
        rows = (data.labels == label).nonzero()[:, 0]
        share = RAREST ** (rank[label] / max(1, classes - 1))
        kept.append(rows[: max(1, round(share * len(rows)))])
    chosen = torch.cat(kept)
    return TrainingSet(data.pixels[chosen], data.labels[chosen])


def augmented(data: TrainingSet, geometric: bool, generator: torch.Generator) -> TrainingSet:
    """`geometric`: place, size or number of things are the label, so they must not be disturbed."""
    pixels = with_disturbed(data.pixels, COPIES, generator, gentle=geometric)
    return TrainingSet(pixels, data.labels.repeat(1 + COPIES))


def watermarked(data: TrainingSet, label: int, logo: Trigger) -> TrainingSet:
    pixels, rows = data.pixels.clone(), data.labels == label
    pixels[rows] = logo(pixels[rows])
    return replace(data, pixels=pixels)
