"""What a repair of encoders may draw on, and what a strategy of it is: one file each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.clip.rebuilding import Delivered
from inspector.detection.triggers import Trigger
from inspector.probes.pairs import Pairs
from inspector.progress import Meter
from inspector.repair.strategy import CannotRepair

FEWEST_PAIRS = 64
"""Pairs that cleaning needs; a contrast among fewer pictures says little."""


@dataclass(frozen=True)
class EncoderCase:
    """A delivered model and all that may teach a copy of it.

    Attributes:
        target: the class that is accused; None where nobody is.
        trigger: what was found to lead there; None where nothing was.
        pairs: pictures and captions that the buyer trusts.
        meter: is told of progress, ends what takes too long, and by what it raises cancels.
    """

    delivered: Delivered
    target: int | None
    trigger: Trigger | None
    pairs: Pairs
    seed: int
    meter: Meter

    @property
    def classifier(self) -> Classifier:
        """The delivered one, frozen."""
        return self.delivered.classifier

    def copy(self, tensors: Mapping[str, Tensor]) -> Classifier:
        """What the file would be with some canonical tensors, of any shape, changed.

        Raises:
            AssemblyError: they do not fit.
        """
        return self.delivered.with_tensors(tensors)


@dataclass(frozen=True)
class Accused(EncoderCase):
    """A case in which a search has found a class and its trigger."""

    target: int
    trigger: Trigger


class EncoderStrategy(Protocol):
    """A way to make the tensors of a copy without the backdoor."""

    @property
    def name(self) -> str:
        """As the report's table calls it."""

    @property
    def keeps_weights(self) -> bool:
        """Whether what it makes begins at the vendor's tuned weights, or holds some of them."""

    def tensors(self, case: EncoderCase) -> dict[str, Tensor]:
        """Canonical tensors, of any shape, that take the delivered ones' places.

        Raises:
            CannotRepair: the case lacks what this strategy needs.
            NumericalError: training became NaN or infinite.
            BudgetExceeded: the time is up.
        """


def check_has_pairs(pairs: Pairs) -> None:
    """Raises CannotRepair where there are too few."""
    if len(pairs) < FEWEST_PAIRS:
        raise CannotRepair(f"{len(pairs)} pairs of picture and caption, {FEWEST_PAIRS} are needed")
