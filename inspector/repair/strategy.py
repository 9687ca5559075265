"""What a repair may draw on, and what a strategy of repair is: one file each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.clip.learned import Delivered
from inspector.clip.zero_shot import ZeroShot
from inspector.detection.triggers import Trigger
from inspector.errors import InspectorError
from inspector.repair.filtering import trusted_rows
from inspector.repair.reconstruction import reconstructed
from inspector.repair.tuning import Lesson
from inspector.repair.views import steady


class CannotRepair(InspectorError):
    """A strategy lacks what it needs; the message says what, for the report."""


@dataclass(frozen=True)
class Labelled:
    """Pictures (N, 3, S, S) in [0,1] where the classifier computes, and true labels (N,)."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Case:
    """A delivered model and all that may teach a copy of it.

    Attributes:
        delivered: no strategy changes it.
        target: the class that is accused.
        trigger: what was found to lead there.
        radius: of added triggers, in pixel units of [0,1].
        pictures: unlabelled (N, 3, S, S) in [0,1], where the classifier computes.
        labelled: where the user has given some.
    """

    delivered: Delivered
    target: int
    trigger: Trigger
    radius: float
    pictures: Tensor
    labelled: Labelled | None
    seed: int

    @property
    def classifier(self) -> Classifier:
        """As delivered, and frozen."""
        return self.delivered.classifier

    def copy(self, tensors: Mapping[str, Tensor]) -> Classifier:
        """What the file would be with some canonical tensors, of any shape, changed."""
        return self.delivered.with_values(tensors)

    @cached_property
    def lesson(self) -> Lesson:
        """The unlabelled pictures under what the delivered classifier says of them."""
        return Lesson.of(self.classifier, self.pictures)

    @cached_property
    def trusted(self) -> Lesson:
        """Those whose answers may teach: filtered, see `inspector.repair.filtering`."""
        lesson, classifier = self.lesson, self.classifier
        with torch.no_grad():
            own = classifier.logits_from_features(lesson.features)
        zero_shot = ZeroShot.of(classifier).logits_of_many(lesson.shown, lesson.features)
        is_steady = steady(classifier, lesson)
        return lesson.chosen(trusted_rows(own, zero_shot, {self.target}, is_steady))

    @cached_property
    def triggers(self) -> tuple[Trigger, ...]:
        """What was found, and one of every space that is searched, in a wider ball among them.

        Raises:
            NumericalError: a search became NaN or infinite.
        """
        found = reconstructed(self.classifier, self.lesson, self.target, self.radius, self.seed)
        return self.trigger, *found


class Strategy(Protocol):
    """A way to make the tensors of a copy without the backdoor."""

    @property
    def name(self) -> str:
        """As the report's table calls it."""

    @property
    def keeps_weights(self) -> bool:
        """Whether what it makes begins at the vendor's tuned weights, or holds some of them."""

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """All that the delivered model learned, by canonical name, of the delivered shapes.

        Raises:
            CannotRepair: the case lacks what this strategy needs.
            NumericalError: a search became NaN or infinite.
        """
