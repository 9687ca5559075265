"""Triggers toward one class in every space that a detector searches, for what a copy is to unlearn.

One reconstruction does not cover what an attacker planted: a warp is in no ball, a ball in no warp.
In each space (`inspector.detection.spaces`) a few random members are tried, and the best climbs by
Adam on the log likelihood, logistic in the margin, that the delivered classifier says the class. No
reference is asked, unlike where triggers accuse: what any model of the backbone would answer does a
copy that learns not to no harm.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.detection.objectives import margins
from inspector.detection.spaces import Member, TriggerSpace, spaces_of
from inspector.detection.triggers import Laid, Trigger
from inspector.errors import NumericalError
from inspector.repair.tuning import Lesson

TRIED, STEPS, BATCH = 3, 16, 32
"""Random members that are tried, updates of the best, and pictures of each: all five spaces cost
about what unlearning's searches do."""


def reconstructed(
    classifier: Classifier, lesson: Lesson, target: int, radius: float, seed: int
) -> list[Trigger]:
    """One of each space, on pictures that the classifier does not give to the class `target`.

    Empty where there is no such picture.

    Args:
        radius: the backbone's (`inspector.profiles`), in pixel units of [0,1].

    Raises:
        NumericalError: a search became NaN or infinite.
    """
    carriers = lesson.shown[lesson.targets != target]
    if not len(carriers):
        return []
    generator = torch.Generator().manual_seed(seed)
    climb = _Climb(classifier, carriers, target, generator)
    return [climb.in_space(space) for space in spaces_of(radius)]


class _Climb:
    def __init__(
        self, classifier: Classifier, pixels: Tensor, target: int, generator: torch.Generator
    ) -> None:
        self._classifier, self._pixels = classifier, pixels
        self._target, self._generator = target, generator

    def in_space(self, space: TriggerSpace) -> Trigger:
        moving = tuple(part.clone().requires_grad_() for part in self._best(space))
        optimizer = torch.optim.Adam(moving, lr=space.rate)
        for some in self._batches(STEPS):
            loss = -self._likelihood(space.apply(moving, some))
            gradients = torch.autograd.grad(loss, moving)
            if not all(bool(one.isfinite().all()) for one in (loss, *gradients)):
                name = space.name
                raise NumericalError(f"the search for class {self._target} among {name} triggers")
            for part, gradient in zip(moving, gradients, strict=True):
                part.grad = gradient
            optimizer.step()
        return Laid(space, tuple(part.detach() for part in moving))

    @torch.no_grad()
    def _best(self, space: TriggerSpace) -> Member:
        """Of some random members, all on the same pictures."""
        size, device = self._pixels.shape[-1], self._pixels.device
        drawn = [
            tuple(part.to(device) for part in space.draw(size, self._generator))
            for _ in range(TRIED)
        ]
        (some,) = self._batches(1)
        return max(drawn, key=lambda one: self._likelihood(space.apply(one, some)).item())

    def _batches(self, number: int) -> Iterator[Tensor]:
        for _ in range(number):
            rows = torch.randperm(len(self._pixels), generator=self._generator)[:BATCH]
            yield self._pixels[rows.to(self._pixels.device)]

    def _likelihood(self, pixels: Tensor) -> Tensor:
        """Mean log likelihood of the class on pictures (B, 3, S, S) in [0,1]."""
        features = self._classifier.image_features(pixels)
        logits = self._classifier.logits_from_features(features)
        return functional.logsigmoid(margins(logits, self._target)).mean()
