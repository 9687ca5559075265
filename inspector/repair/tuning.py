"""Teaching a copy of a delivered model: all that its method learns, on the encoders that it has.

Prompts behind the image encoder are tuned on features that are encoded once. Where prompts stand in
it, every update encodes its pictures again, so fewer are shown: the whole lesson costs about what
one search for a trigger does.
"""

from __future__ import annotations

from collections.abc import Iterable
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
        pixels: (N, 3, S, S) in [0,1]; None where only features teach, see `joined`.
        features: theirs by the delivered classifier.
        targets: class indices (N,), or probabilities (N, K).
    """

    pixels: Tensor | None
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
        pixels = None if self.pixels is None else self.pixels[rows]
        return Lesson(pixels, self.features[rows], self.targets[rows])

    def and_also(self, other: Lesson) -> Lesson:
        """Both, of pictures that were kept and of indices."""
        pixels = torch.cat([self.shown, other.shown])
        features = torch.cat([self.features, other.features])
        return Lesson(pixels, features, torch.cat([self.targets, other.targets]))

    def some(self, most: int, generator: torch.Generator) -> Lesson:
        """So many of them at most, drawn."""
        rows = torch.randperm(len(self), generator=generator)[:most]
        return self.chosen(rows.to(self.targets.device))

    @property
    def shown(self) -> Tensor:
        """The pixels (N, 3, S, S) in [0,1] of a lesson that has them."""
        assert self.pixels is not None, "they were left out where only features teach"
        return self.pixels


def joined(
    delivered: Delivered, lessons: Iterable[Lesson], number: int, generator: torch.Generator
) -> Lesson:
    """So many lessons, one behind the other, with no more pixels than `taught` shows a copy.

    All pictures under every trigger would take gigabytes.
    """
    most = max(1, MOST_ENCODED // _LEAST_EPOCHS // number)
    kept = [
        one.some(most, generator) if delivered.is_visual else replace(one, pixels=None)
        for one in lessons
    ]
    pixels = torch.cat([one.shown for one in kept]) if delivered.is_visual else None
    features, targets = ([getattr(one, name) for one in kept] for name in ("features", "targets"))
    return Lesson(pixels, torch.cat(features), torch.cat(targets))


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
            copy.work.image_backward += len(rows)  # To prompts inside, though not to pixels.
            return copy(lesson.shown[rows])  # type: ignore[no-any-return]
        return copy.logits_from_features(lesson.features[rows])

    with torch.enable_grad():
        descend(list(values.values()), logits_of, lesson.targets, recipe, generator)
    return {name: value.detach() for name, value in values.items()}


def _affordable(
    lesson: Lesson, recipe: Recipe, generator: torch.Generator
) -> tuple[Lesson, Recipe]:
    epochs = max(_LEAST_EPOCHS, min(recipe.epochs, MOST_ENCODED // len(lesson)))
    rate = min(recipe.learning_rate, DEEP_RATE)
    shown = lesson.some(MOST_ENCODED // epochs, generator)
    return shown, replace(recipe, epochs=epochs, learning_rate=rate)


@torch.no_grad()
def answers_of(delivered: Delivered, values: Values, lesson: Lesson) -> Tensor:
    """What a copy says of a lesson's pictures (N,)."""
    copy = delivered.with_values(values)
    features = encoded(copy, lesson.shown) if delivered.is_visual else lesson.features
    return copy.logits_from_features(features).argmax(1)
