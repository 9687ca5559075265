"""Honest models for a calibration: benign prompts that differ in what they were tuned on.

Prompts of other seeds come out alike where they are taught the same predictions (experiment 22);
what clean vendors' models differ by is their data. So every model has pictures, wrong labels,
disturbed pictures, imbalance and effort drawn for it. Pictures that are disturbed contradict their
labels in some models, as in an attack, but no class is preferred by that: such models answer
disturbances and have no target (experiment 23). Labels are the backbone's zero-shot predictions, so
nothing needs to be known about the pictures, and nothing here is a vendor's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe, new_learner, tune
from inspector.detection.seeds import derive_seed
from inspector.errors import NumericalError

Disturb = Callable[[Tensor], Tensor]
T = TypeVar("T")
Draw = Callable[[int], Mapping[str, Sequence[Disturb]]]
"""From a seed to disturbances of pixels (B, 3, S, S), by family."""

BATCH = 8
SHARES, NOISES, RAREST = (0.25, 0.5, 1.0), (0.0, 0.1, 0.2), (1.0, 0.3, 0.1)
DISTURBED, RATES, UPDATES = (0.0, 0.1, 0.3), (0.1, 0.3), (400, 800, 1600)
"""What is drawn from, each value equally often. They span the exam's clean models (tests/zoo)."""
FEWEST_PICTURES = 32
_COOLING, _TRIES = 0.1, 4


@dataclass(frozen=True)
class TrainingVariation:
    """What one model is tuned on.

    Attributes:
        seed: of everything else; beyond the seeds of inspections, so that no disturbance is one
            that an inspection tries.
        share: of the probes, how many pictures are drawn.
        noise: share of random labels.
        rarest: how often the rarest class is drawn beside the commonest, the others between them.
        disturbed: share of pictures under a disturbance, with their own labels
            or random balanced ones.
        family, member: which disturbance, counted round and round.
        is_relabelled: whether disturbed pictures have random labels.
        rate: peak learning rate.
        updates: about so many.
    """

    seed: int
    share: float
    noise: float
    rarest: float
    disturbed: float
    family: int
    member: int
    is_relabelled: bool
    rate: float
    updates: int

    def to_json(self) -> dict[str, Any]:
        """As it stands in a calibration's `recipes`."""
        return {
            "seed": self.seed,
            "share": self.share,
            "noise": self.noise,
            "rarest": self.rarest,
            "disturbed": self.disturbed,
            "family": self.family,
            "member": self.member,
            "is_relabelled": self.is_relabelled,
            "rate": self.rate,
            "updates": self.updates,
        }


def variation(seed: int, index: int) -> TrainingVariation:
    """The variation of the model number `index`; it depends on the arguments alone."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "benign model", index))

    def whole(below: int) -> int:
        return int(torch.randint(below, (), generator=generator))

    def one(values: Sequence[T]) -> T:
        return values[whole(len(values))]

    return TrainingVariation(
        seed=2**33 + whole(2**48),
        share=one(SHARES),
        noise=one(NOISES),
        rarest=one(RAREST),
        disturbed=one(DISTURBED),
        family=whole(2**16),
        member=whole(2**16),
        is_relabelled=one((False, True)),
        rate=one(RATES),
        updates=one(UPDATES),
    )


class BenignModelFactory:
    """Makes honest models of one method over one backbone and class list.

    pixels: unlabelled probes (N, 3, S, S) in [0,1], encoded once.
    """

    def __init__(
        self, backbone: Backbone, classnames: list[str], pixels: Tensor, *, conditioned: bool
    ) -> None:
        self._backbone, self._names, self._pixels = backbone, classnames, pixels
        self._conditioned = conditioned
        self._features = encoded(self._backbone, pixels)
        self._labels = (self._features @ backbone.zero_shot(classnames).T).argmax(1).cpu()

    def build(self, of: TrainingVariation, drawn: Draw) -> tuple[Classifier, TrainingVariation]:
        """A frozen model, and the variation that it was tuned with: a lower rate if it diverged.

        Raises:
            NumericalError: it diverges at every rate that is tried.
        """
        for _ in range(_TRIES):
            classifier = self._tuned(of, drawn)
            if all(bool(p.isfinite().all()) for p in classifier.parameters()):
                return classifier.requires_grad_(False), of
            of = replace(of, rate=of.rate * _COOLING)
        raise NumericalError("the tuning of an honest model")

    def _tuned(self, of: TrainingVariation, drawn: Draw) -> Classifier:
        generator = torch.Generator().manual_seed(of.seed)
        features, labels = self._training_set(of, drawn, generator)
        classifier = new_learner(
            self._backbone, self._names, conditioned=self._conditioned, generator=generator
        )
        epochs = max(2, math.ceil(of.updates * BATCH / len(labels)))
        recipe = Recipe(epochs=epochs, batch=BATCH, learning_rate=of.rate)
        tune(classifier, features, labels.to(features.device), recipe, generator)
        return classifier

    def _training_set(
        self, of: TrainingVariation, drawn: Draw, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Image features (M, D) and labels (M,)."""
        number, classes = len(self._labels), len(self._names)
        count = max(FEWEST_PICTURES, round(of.share * number))
        rows = torch.multinomial(
            self._weights(of.rarest, generator), count, replacement=True, generator=generator
        )
        features, labels = self._features[rows.to(self._features.device)], self._labels[rows]
        wrong = torch.randperm(count, generator=generator)[: round(of.noise * count)]
        labels[wrong] = torch.randint(classes, (len(wrong),), generator=generator)
        changed = torch.randperm(count, generator=generator)[: round(of.disturbed * count)]
        if len(changed):
            families = list(drawn(of.seed).values())
            members = families[of.family % len(families)]
            disturb = members[of.member % len(members)]
            pixels = self._pixels[rows[changed].to(self._pixels.device)]
            features = features.clone()
            features[changed.to(features.device)] = encoded(self._backbone, disturb(pixels))
            if of.is_relabelled:
                labels[changed] = _balanced(len(changed), classes, generator)
        return features, labels

    def _weights(self, rarest: float, generator: torch.Generator) -> Tensor:
        """How likely each probe is to be drawn: classes fall geometrically, in random order."""
        classes = len(self._names)
        fall = rarest ** (torch.arange(classes) / max(1, classes - 1))
        fall = fall[torch.randperm(classes, generator=generator)]
        present = torch.bincount(self._labels, minlength=classes)
        return (fall / present.clamp(min=1))[self._labels]


def _balanced(count: int, classes: int, generator: torch.Generator) -> Tensor:
    """Every class equally often, but for a remainder that falls on classes at random."""
    rounds = [torch.randperm(classes, generator=generator) for _ in range(-(-count // classes))]
    labels = torch.cat(rounds)[:count]
    return labels[torch.randperm(count, generator=generator)]
