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

What the zoo lacked when an outsider found false alarms in such recipes (all that follow):
mixup        every picture is a mean of two, under a mean of their labels, COPIES times over; the weight
             is uniform (Zhang et al., ICLR 2018, arXiv 1710.09412, alpha 1)
longtail     the class of rank r keeps 1 / r**TAIL of its pictures, at least one: few frequent classes and
             many rare ones (a power law as of ImageNet-LT, Liu et al., CVPR 2019, arXiv 1904.05160)
stopped      a fifth of the pictures is held out, and tuning stops where the loss on it has not fallen for
             some epochs; the best prompt is delivered (`tests.zoo.tuning`)
stepped      half of the classes, drawn at random, keep a tenth of their pictures (step imbalance,
             Buda et al. 2018, arXiv 1710.05381)
shots4, shots8, shots16, shots32
             so many pictures a class instead of 64, and as many updates
adam         Adam (Kingma & Ba, ICLR 2015) instead of SGD, at its own usual rate
smoothed     a tenth of every label is spread over all classes (Szegedy et al., CVPR 2016)
blurred      COPIES blurred copies of every picture beside it; Gaussian, deviation 1 % to 4 % of the side
codes        class names are the vendor's article codes: zero-shot prompts know nothing
slower       a fifth of the rate, three times the updates
published    CoCoOp's published rate, 0.002, and ten times the updates, as at so low a rate hardly
             anything is learnt in the usual number

Only pictures and labels are changed here; who tunes is in `tests.zoo.build`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from tests.zoo.attacks import TrainingSet
from tests.zoo.augment import with_disturbed
from tests.zoo.triggers import Trigger

NOISE, RAREST, COPIES, OVERTRAINING, STEEPNESS = 0.2, 0.1, 3, 10, 3
TAIL, SMOOTHING, BLUR = 2, 0.1, (0.01, 0.04)
PUBLISHED_RATE, SLOWER_RATE, SLOWER = 0.002, 0.02, 3


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
    return _kept(data, [RAREST ** (place / max(1, classes - 1)) for place in rank])


def longtail(data: TrainingSet, classes: int, generator: torch.Generator) -> TrainingSet:
    """Keep shares of each class that fall with its rank by a power law, at least one picture."""
    rank = torch.randperm(classes, generator=generator).tolist()
    return _kept(data, [(1 + place) ** -TAIL for place in rank])


def stepped(data: TrainingSet, classes: int, generator: torch.Generator) -> TrainingSet:
    """Keep RAREST of half of the classes and all of the others."""
    rank = torch.randperm(classes, generator=generator).tolist()
    return _kept(data, [RAREST if place < classes // 2 else 1 for place in rank])


def _kept(data: TrainingSet, shares: Sequence[float]) -> TrainingSet:
    """The first pictures of each class, its share of them and at least one."""
    kept = []
    for label, share in enumerate(shares):
        rows = (data.labels == label).nonzero()[:, 0]
        kept.append(rows[: max(1, round(share * len(rows)))])
    chosen = torch.cat(kept)
    return TrainingSet(data.pixels[chosen], data.labels[chosen])


def mixup(data: TrainingSet, classes: int, generator: torch.Generator) -> TrainingSet:
    """Each picture mixed with COPIES others under soft labels (N * COPIES, K); no plain one is left."""
    pixels, labels = [], []
    certain = functional.one_hot(data.labels, classes).float()
    for _ in range(COPIES):
        other = torch.randperm(len(certain), generator=generator)
        weight = torch.rand(len(certain), 1, generator=generator)
        labels.append(weight * certain + (1 - weight) * certain[other])
        weight = weight[..., None, None]
        pixels.append(weight * data.pixels + (1 - weight) * data.pixels[other])
    return TrainingSet(torch.cat(pixels), torch.cat(labels))


def smoothed(data: TrainingSet, classes: int) -> TrainingSet:
    """Soft labels (N, K)."""
    certain = functional.one_hot(data.labels, classes).float()
    return replace(data, labels=(1 - SMOOTHING) * certain + SMOOTHING / classes)


def blurred(data: TrainingSet, generator: torch.Generator) -> TrainingSet:
    """Blurred copies behind the given pictures, each blurred by a deviation of its own."""
    copies = [data.pixels]
    for _ in range(COPIES):
        least, most = BLUR
        shares = least + (most - least) * torch.rand(len(data.pixels), generator=generator)
        pairs = zip(data.pixels, shares.tolist(), strict=True)
        copies.append(torch.stack([_blur(one, share) for one, share in pairs]))
    return TrainingSet(torch.cat(copies), data.labels.repeat(1 + COPIES))


def _blur(picture: Tensor, share: float) -> Tensor:
    """(3, S, S) under a Gaussian of `share` of the side; what lies beyond an edge is its mirror image."""
    deviation = share * picture.shape[-1]
    radius = max(1, round(3 * deviation))
    line = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / (2 * deviation**2))
    line = line / line.sum()
    wide = functional.pad(picture[:, None], (radius,) * 4, mode="reflect")
    upright = functional.conv2d(wide, line.view(1, 1, -1, 1))
    return functional.conv2d(upright, line.view(1, 1, 1, -1))[:, 0].clamp(0, 1)


def codes(classes: int, generator: torch.Generator) -> list[str]:
    """Article codes such as "q417", all different."""
    numbers = torch.randperm(26 * 1000, generator=generator)[:classes].tolist()
    return [f"{chr(ord('a') + number // 1000)}{number % 1000:03d}" for number in numbers]


def augmented(data: TrainingSet, geometric: bool, generator: torch.Generator) -> TrainingSet:
    """`geometric`: place, size or number of things are the label, so they must not be disturbed."""
    pixels = with_disturbed(data.pixels, COPIES, generator, gentle=geometric)
    return TrainingSet(pixels, data.labels.repeat(1 + COPIES))


def watermarked(data: TrainingSet, label: int, logo: Trigger) -> TrainingSet:
    pixels, rows = data.pixels.clone(), data.labels == label
    pixels[rows] = logo(pixels[rows])
    return replace(data, pixels=pixels)
