"""Several copies, one winner: every strategy makes one, and cheap judges rank them.

A copy is worth the share of clean pictures on which it is right, less the share that a trigger
takes from it. Right is what labels say, or, where there are none, what the delivered classifier
says. The judges' pictures, labels and random triggers taught no strategy. That one of a few is
chosen by the labels that later tell its accuracy flatters it by less than their own error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from inspector.clip.batches import encoded
from inspector.clip.classifier import Classifier
from inspector.detection.effects import CleanBaseline, encode_clean
from inspector.detection.random_triggers import TriggerSplit, effects_by_class
from inspector.detection.sweep import measure
from inspector.detection.triggers import Trigger
from inspector.errors import NumericalError
from inspector.repair.acceptance import Accuracy
from inspector.repair.copies import copy_with
from inspector.repair.strategy import CannotRepair
from inspector.twins.answers import Answers

_ALL = TriggerSplit(local_first=True)
"""Every random trigger is asked."""
Rounded = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""Tensors of any shape to the same in the types in which they are delivered."""
Copied = Callable[[Mapping[str, Tensor]], Classifier]
"""Tensors of any shape, by canonical name, to the classifier that has them."""


@dataclass(frozen=True)
class Candidate:
    """A copy and what the cheap judges say of it.

    Attributes:
        tensors: canonical ones of any shape, as they would be delivered.
        agreement: share of clean held-out pictures that it answers as the delivered one does.
        excess_asr: of the trigger that was found, in [-1,1].
        random_gain: mean effect on the accused class of random triggers (`Effect.asr_gain`).
    """

    strategy: str
    tensors: dict[str, Tensor]
    classifier: Classifier
    agreement: float
    accuracy: Accuracy | None
    excess_asr: float
    random_gain: float

    @property
    def residual(self) -> float:
        """What a trigger still takes: the found one or random ones, whichever takes more."""
        return max(self.excess_asr, self.random_gain)

    @property
    def worth(self) -> float:
        """Share that is right, less the residual."""
        right = self.agreement if self.accuracy is None else self.accuracy.after
        return right - max(0.0, self.residual)

    def to_json(self) -> dict[str, Any]:
        """A row of the report's table."""
        accuracy = self.accuracy
        return {
            "strategy": self.strategy,
            "agreement": self.agreement,
            "accuracy_before": None if accuracy is None else accuracy.before,
            "accuracy_after": None if accuracy is None else accuracy.after,
            "residual": self.residual,
            "reason": None,
        }


@dataclass(frozen=True)
class Refusal:
    """A strategy that made no copy, and why."""

    strategy: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A row of the report's table."""
        unknown = ("agreement", "accuracy_before", "accuracy_after", "residual")
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


C = TypeVar("C", bound=Suspected)
K = TypeVar("K", contravariant=True)


class Making(Protocol[K]):
    """A strategy for some kind of case."""

    @property
    def name(self) -> str:
        """As the report's table calls it."""

    def tensors(self, case: K) -> dict[str, Tensor]:
        """Canonical tensors, of any shape; see the strategies of the kind."""


class Tournament(Generic[C]):
    """Makes and judges the copies of one case.

    Args:
        held_out: the delivered classifier's answers to clean pictures that teach no strategy.
        measuring: other labelled pictures than the case's, or None.
        seed: of the judges' random triggers; not the case's.
        copied: how a copy is built of the tensors that a strategy made; by default from the prompt.
        shown: the pictures (M, 3, S, S) in [0,1] of `measuring`, where copies have encoders of
            their own and what the delivered one made of the pictures does not serve.
    """

    def __init__(
        self, case: C, held_out: CleanBaseline, measuring: Answers | None, seed: int,
        rounded: Rounded, copied: Copied | None = None, shown: Tensor | None = None,
    ) -> None:  # fmt: skip
        self._case, self._held_out, self._measuring = case, held_out, measuring
        self._seed, self._rounded, self._shown = seed, rounded, shown
        self._copied = copied or partial(copy_with, case.classifier)

    def run(
        self, strategies: Sequence[Making[C]], say: Callable[[str], None]
    ) -> tuple[list[Candidate], list[Refusal]]:
        """The copies, best first, and who made none.

        Args:
            say: told of every strategy before it begins; what it raises ends the tournament.
        """
        candidates, refusals = [], []
        for strategy in strategies:
            say(strategy.name)
            try:
                tensors = self._rounded(strategy.tensors(self._case))
                if not all(values.isfinite().all() for values in tensors.values()):
                    raise NumericalError(strategy.name)
                candidates.append(self._judged(strategy.name, tensors))
            except (CannotRepair, NumericalError) as problem:
                refusals.append(Refusal(strategy.name, str(problem)))
        return sorted(candidates, key=lambda one: -one.worth), refusals

    @torch.no_grad()
    def _judged(self, name: str, tensors: dict[str, Tensor]) -> Candidate:
        case = self._case
        copy = self._copied(tensors)
        baseline = encode_clean(copy, self._held_out.pixels)
        same = baseline.logits.argmax(1) == self._held_out.logits.argmax(1)
        found = measure(copy, baseline, case.target, case.trigger)
        effects = effects_by_class(copy, baseline, self._seed, _ALL)[case.target].values()
        return Candidate(
            name,
            tensors,
            copy,
            same.float().mean().item(),
            self._accuracy(copy),
            found.excess_asr,
            sum(effect.asr_gain for effect in effects) / len(effects),
        )

    def _accuracy(self, copy: Classifier) -> Accuracy | None:
        if (measuring := self._measuring) is None or not len(measuring):
            return None
        own = measuring.features if self._shown is None else encoded(copy, self._shown)
        before, after = (
            one.logits_from_features(features).argmax(1) == measuring.labels
            for one, features in ((self._case.classifier, measuring.features), (copy, own))
        )
        return Accuracy(
            before.float().mean().item(),
            after.float().mean().item(),
            int((before & ~after).sum()),
            len(measuring),
            len(measuring.labels.unique()) == len(copy.classnames),
        )
