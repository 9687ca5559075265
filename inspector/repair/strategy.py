"""What a repair may draw on, and what a strategy of repair is: one file each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.detection.triggers import Trigger
from inspector.errors import InspectorError
from inspector.twins.answers import Answers

REPAIRABLE = ("CoOp", "ProGrad", "KgCoOp", "CoCoOp", "BadCLIP")
"""Families whose files hold nothing but the prompt, which is all that is tuned."""


class CannotRepair(InspectorError):
    """A strategy lacks what it needs; the message says what, for the report."""


@dataclass(frozen=True)
class Case:
    """A delivered classifier and all that may teach a copy of it.

    Attributes:
        classifier: as delivered and frozen; no strategy changes it.
        target: the class that is accused.
        trigger: what was found to lead there.
        radius: of added triggers, in pixel units of [0,1].
        pictures: unlabelled (N, 3, S, S) in [0,1], where the classifier computes.
        labelled: pictures with their true labels, where the user has given some.
    """

    classifier: Classifier
    target: int
    trigger: Trigger
    radius: float
    pictures: Tensor
    labelled: Answers | None
    seed: int


def taught_by(classifier: Classifier, pixels: Tensor, labels: Tensor) -> Answers | None:
    """Pictures (N, 3, S, S) in [0,1] and true labels (N,) as they teach or judge; None of none."""
    if not len(labels):
        return None
    device = classifier.backbone.device
    return Answers(encoded(classifier, pixels.to(device)), labels.to(device))


class Strategy(Protocol):
    """A way to make the tensors of a copy without the backdoor."""

    @property
    def name(self) -> str:
        """As the report's table calls it."""

    def tensors(self, case: Case) -> dict[str, Tensor]:
        """Canonical tensors, any shape: `ctx` and `meta_net.*`, each of the delivered one's shape.

        Raises:
            CannotRepair: the case lacks what this strategy needs.
            NumericalError: a search became NaN or infinite.
        """
