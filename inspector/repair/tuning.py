"""Teaching a copy of a delivered model: all that its method learns, on the encoders that it has.

Prompts behind the image encoder are tuned on features that are encoded once. Where prompts stand in
it, every update encodes its pictures again, so fewer are shown: the whole lesson costs about what
one search for a trigger does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.clip.learned import Delivered, Values
from inspector.clip.prompt_tuning import Recipe, descend

MOST_ENCODED = 4096
"""Pictures that a lesson sends through the image encoder with gradient: as many as a search of four
epochs over a pool of 1,000."""
DEEP_RATE = 0.02
"""Peak rate of SGD where prompts stand in the image encoder."""
_LEAST_EPOCHS = 4
"""There, of which the first only warms up."""


@dataclass(frozen=True)
class Effort:
    """Updates, whatever the number of pictures; pictures an update; peak rate of SGD."""

    updates: int
    batch: int
    rate: float = 0.1

    def recipe(self, pictures: int) -> Recipe:
        """For so many pictures."""
        epochs = max(2, round(self.updates * self.batch / pictures))
        return Recipe(epochs=epochs, batch=self.batch, learning_rate=self.rate)


DERIVED = Effort(1500, 8)
"""What a vendor spends on a prompt of CoOp's or CoCoOp's kind: experiments 10 and 54."""


@dataclass(frozen=True)
class Lesson:
    """Pictures, and what a copy is to say of them.

    Attributes:
        pixels: (N, 3, S, S) in [0,1].
        features: theirs by the delivered classifier.
        targets: class indices (N,), or probabilities (N, K).
    """

    pixels: Tensor
    features: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    @classmethod
    def of(cls, classifier: Classifier, pixels: Tensor, targets: Tensor | None = None) -> Lesson:
        """Pictures (N, 3, S, S) in [0,1] under the classifier's own answers, or under `targets`."""
        features = encoded(classifier, pixels)
        if targets is None:
            with torch.no_grad():
                targets = classifier.logits_from_features(features).argmax(1)
        return cls(pixels, features, targets)

    def chosen(self, rows: Tensor) -> Lesson:
        """Those of a mask (N,) or of indices."""
        return Lesson(self.pixels[rows], self.features[rows], self.targets[rows])

    @classmethod
    def joined(cls, lessons: Sequence[Lesson]) -> Lesson:
        """All of them, one behind the other."""
        columns = zip(*((one.pixels, one.features, one.targets) for one in lessons), strict=True)
        return cls(*(torch.cat(column) for column in columns))


def taught(
    delivered: Delivered,
    start: Values,
    lesson: Lesson,
    recipe: Recipe,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Values that are tuned from `start` until a copy says what the lesson says."""
    if delivered.is_visual:
        lesson, recipe = _affordable(lesson, recipe, generator)
    values = {name: value.clone().requires_grad_() for name, value in start.items()}
    copy = delivered.with_values(start)

    def logits_of(rows: Tensor) -> Tensor:
        delivered.put(copy, values)
        if delivered.is_visual:
            return copy(lesson.pixels[rows])  # type: ignore[no-any-return]
        return copy.logits_from_features(lesson.features[rows])

    with torch.enable_grad():
        descend(list(values.values()), logits_of, lesson.targets, recipe, generator)
    return {name: value.detach() for name, value in values.items()}


def _affordable(
    lesson: Lesson, recipe: Recipe, generator: torch.Generator
) -> tuple[Lesson, Recipe]:
    epochs = max(_LEAST_EPOCHS, min(recipe.epochs, MOST_ENCODED // len(lesson)))
    rows = torch.randperm(len(lesson), generator=generator)[: MOST_ENCODED // epochs]
    rate = min(recipe.learning_rate, DEEP_RATE)
    return lesson.chosen(rows), replace(recipe, epochs=epochs, learning_rate=rate)


@torch.no_grad()
def answers_of(delivered: Delivered, values: Values, lesson: Lesson) -> Tensor:
    """What a copy says of a lesson's pictures (N,)."""
    copy = delivered.with_values(values)
    features = encoded(copy, lesson.pixels) if delivered.is_visual else lesson.features
    return copy.logits_from_features(features).argmax(1)
