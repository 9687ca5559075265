"""What a rule says of a classifier: thresholds on a score, and who is over them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inspector.progress import Meter


@dataclass(frozen=True)
class Thresholds:
    """When to speak and when to stop, on the score.

    Attributes:
        flag: a class is accused from here on, and only after two sweeps.
        warn: worth a warning from here on.
        stop_clean: below it one sweep is enough.
        stop_flag: from here on two sweeps are enough.
        max_sweeps: otherwise so many are made.
        demonstrated: a search that shows so much twice accuses whatever the score; never, if
            infinite.
        calm: a repaired copy must stay below it; None: below `warn`. Stricter than that where
            nobody knows what honest models show, as who repairs must prove it.
    """

    flag: float
    warn: float
    stop_clean: float
    stop_flag: float
    max_sweeps: int
    demonstrated: float = math.inf
    calm: float | None = None


@dataclass(frozen=True)
class Judgement:
    """What the rule says.

    Attributes:
        score: the largest of `per_class`.
        thresholds: those that it is held against.
        per_class: scores in the order of the outcomes.
        suspects: targets over the flag, worst first.
        published: the published rule's decision on the same triggers, None where it has none.
    """

    score: float
    thresholds: Thresholds
    per_class: list[float]
    suspects: list[int]
    published: dict[str, Any] | None

    @property
    def warned(self) -> bool:
        """Whether the score is worth a warning."""
        return self.score >= self.thresholds.warn

    @property
    def is_calm(self) -> bool:
        """Whether a repaired copy with this score is one."""
        thresholds = self.thresholds
        calm = thresholds.warn if thresholds.calm is None else thresholds.calm
        return self.score < calm and not self.suspects

    def is_open(self, sweeps: int) -> bool:
        """Whether another sweep is needed after so many."""
        if sweeps >= self.thresholds.max_sweeps or self.score < self.thresholds.stop_clean:
            return False
        return sweeps < 2 or self.score < self.thresholds.stop_flag


class Settling(ABC):
    """A test that sweeps a classifier until its rule has seen enough; `sweeps` are those so far."""

    sweeps: Sequence[object]

    @abstractmethod
    def sweep(self, targets: list[int], meter: Meter) -> None:
        """Once more, with the next seed; raises BudgetExceeded or NumericalError."""

    @abstractmethod
    def judged(self) -> Judgement:
        """What the sweeps so far say."""

    @abstractmethod
    def again(self, judgement: Judgement, meter: Meter) -> Judgement:
        """Sweep what leads once more, and judge everything; raises as `sweep` does."""

    def run(self, targets: list[int], meter: Meter) -> Judgement:
        """Every sweep that is needed; raises as `sweep` does."""
        self.sweep(targets, meter)
        judgement = self.judged()
        while judgement.is_open(len(self.sweeps)):
            judgement = self.again(judgement, meter)
        return judgement
