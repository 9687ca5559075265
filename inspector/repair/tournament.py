"""Several copies in one order: strategies make them, and cheap judges rank those that are made.

1. Copies within all bars of `acceptance` that could be measured stand before others.
2. Then copies that hold nothing of the vendor's tuned weights stand before those that change them:
   what is not kept cannot carry a backdoor. Of copies from which the found trigger is gone, those
   that agree most with the delivered model are those that still answer to the attacker's
   (experiment 54).
3. Then a copy is worth the share of clean pictures on which it is right, less the share that a
   trigger takes from it. Right is what labels say, or, where there are none, what the delivered
   classifier says.

Where pictures are not of the task and there are no labels, nothing tells whether a copy is still
the same model: 1. then asks for the residual alone, so that 2. decides, and by 3. such copies stand
in order that 2. does not tell apart.

The judges' pictures, labels and random triggers taught no strategy. That one of a few is chosen by
the labels that later tell its accuracy flatters it by less than their own error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.clip.vendor import logits_of
from inspector.detection.effects import CleanBaseline, encode_clean
from inspector.detection.evidence import measure
from inspector.detection.random_triggers import gains_by_class
from inspector.detection.triggers import Trigger
from inspector.errors import NumericalError
from inspector.repair.acceptance import Accuracy, Judged
from inspector.repair.strategy import CannotRepair, Labelled

Rounded = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""Tensors of any shape to the same in the types in which they are delivered."""
Copied = Callable[[Mapping[str, Tensor]], Classifier]
"""Tensors of any shape, by canonical name, to the classifier that has them."""


@dataclass(frozen=True)
class Candidate:
    """A copy and what the cheap judges say of it.

    Attributes:
        keeps_weights: see `Making`.
        tensors: canonical ones of any shape, as they would be delivered.
    """

    strategy: str
    keeps_weights: bool
    tensors: dict[str, Tensor]
    classifier: Classifier
    judged: Judged

    @property
    def worth(self) -> float:
        """Share that is right, less the residual."""
        accuracy = self.judged.accuracy
        right = self.judged.agreement if accuracy is None else accuracy.after
        return right - max(0.0, self.judged.residual)

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """The least comes first."""
        return not self.judged.is_within_bars, self.keeps_weights, -self.worth

    def to_json(self) -> dict[str, Any]:
        """A row of the report's table."""
        accuracy = self.judged.accuracy
        return {
            "strategy": self.strategy,
            "keeps_weights": self.keeps_weights,
            "is_within_bars": self.judged.is_within_bars,
            "agreement": self.judged.agreement,
            "accuracy_before": None if accuracy is None else accuracy.before,
            "accuracy_after": None if accuracy is None else accuracy.after,
            "residual": self.judged.residual,
            "reason": None,
        }


@dataclass(frozen=True)
class Refusal:
    """A strategy that made no copy, and why."""

    strategy: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A row of the report's table."""
        unknown = (
            "keeps_weights", "is_within_bars", "agreement", "accuracy_before", "accuracy_after",
            "residual",
        )  # fmt: skip
        return {
            "strategy": self.strategy,
            **dict.fromkeys(unknown),
            "reason": self.reason,
        }


class Suspected(Protocol):
    """What the judges ask of a case; what else it holds is its strategies' business."""

    @property
    def classifier(self) -> Classifier:
        """As delivered and frozen."""

    @property
    def target(self) -> int:
        """The class that is accused."""

    @property
    def trigger(self) -> Trigger:
        """What was found to lead there."""

    def copy(self, tensors: Mapping[str, Tensor]) -> Classifier:
        """What the file would be with some canonical tensors, of any shape, changed."""


C = TypeVar("C", bound=Suspected)
K = TypeVar("K", contravariant=True)


class Making(Protocol[K]):
    """A strategy for some kind of case."""

    @property
    def name(self) -> str:
        """As the report's table calls it."""

    @property
    def keeps_weights(self) -> bool:
        """Whether what it makes begins at the vendor's tuned weights, or holds some of them."""

    def tensors(self, case: K) -> dict[str, Tensor]:
        """Canonical tensors, of any shape; see the strategies of the kind."""


class Tournament(Generic[C]):
    """Makes and judges the copies of one case.

    Args:
        held_out: the delivered classifier's answers to clean pictures that teach no strategy.
        is_of_task: whether these are pictures of what the model is for.
        measuring: other labelled pictures than the case's; there may be none.
        seed: of the judges' random triggers; not the case's.
    """

    def __init__(
        self, case: C, held_out: CleanBaseline, is_of_task: bool, measuring: Labelled, seed: int,
        rounded: Rounded,
    ) -> None:  # fmt: skip
        self._case, self._held_out, self._measuring = case, held_out, measuring
        self._is_of_task, self._seed, self._rounded = is_of_task, seed, rounded

    def run(
        self, strategies: Iterable[Making[C]], say: Callable[[str], None]
    ) -> Iterator[Candidate | Refusal]:
        """What every strategy makes, as it comes.

        Args:
            say: told of every strategy before it begins; what it raises ends the tournament.
        """
        for strategy in strategies:
            say(strategy.name)
            try:
                tensors = self._rounded(strategy.tensors(self._case))
                if not all(values.isfinite().all() for values in tensors.values()):
                    raise NumericalError(strategy.name)
                yield self._candidate(strategy, tensors)
            except (CannotRepair, NumericalError) as problem:
                yield Refusal(strategy.name, str(problem))

    @torch.no_grad()
    def _candidate(self, strategy: Making[C], tensors: dict[str, Tensor]) -> Candidate:
        copy, judged = self._case.copy(tensors), self._judged
        return Candidate(strategy.name, strategy.keeps_weights, tensors, copy, judged(copy))

    def _judged(self, copy: Classifier) -> Judged:
        case = self._case
        baseline = encode_clean(copy, self._held_out.pixels)
        same = baseline.logits.argmax(1) == self._held_out.logits.argmax(1)
        found = measure(copy, baseline, case.target, case.trigger)
        random = gains_by_class(copy, baseline, self._seed)[case.target]
        return Judged(
            found.excess_asr,
            random.item(),
            self._accuracy(copy),
            same.float().mean().item(),
            self._is_of_task,
        )

    def _accuracy(self, copy: Classifier) -> Accuracy | None:
        measuring, labels = self._measuring, self._measuring.labels.cpu()
        if not len(measuring):
            return None
        before, after = (
            logits_of(one, measuring.pixels).argmax(1) == labels
            for one in (self._case.classifier, copy)
        )
        return Accuracy(
            before.float().mean().item(),
            after.float().mean().item(),
            int((before & ~after).sum()),
            len(measuring),
            len(labels.unique()) == len(copy.classnames),
        )
