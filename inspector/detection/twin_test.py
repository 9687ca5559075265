"""The test by twins: a search, and where it found something, another one that must find it again.

A reading's value for a class k is the largest excess of a trigger that was found for it, over the
spaces (`inspector.detection.excess`): shares of held-out probes, in [-1, 1]. Where no class reaches
OPEN, that is all. Else the classes that lead are searched once more, with another seed, on other
held-out probes as far as there are, and with the twins in each other's place. Then

    score_k = the smallest of the readings' values for k,

what two searches both show that share the suspect, its twins and the pictures that these learned
from, but not the seed, and held-out probes only where these are few; of a class that was searched
once its value, and no more than the value under which the search was not repeated. The score of a
model is the largest of its classes'. Honest models of a bank go the same way, step by step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from inspector.clip.classifier import Classifier
from inspector.detection.contrast import Contrast
from inspector.detection.cost import Expected, timed
from inspector.detection.effects import CleanBaseline, encode_clean
from inspector.detection.evidence import Inverted, measure
from inspector.detection.excess import HeldOut
from inspector.detection.judgement import Judgement, Settling, Thresholds
from inspector.detection.pools import Pools
from inspector.detection.reading import Found, Reading, Search, read
from inspector.detection.references import References
from inspector.detection.seeds import derive_seed
from inspector.detection.triggers import Laid
from inspector.profiles import FEW_CLASSES
from inspector.progress import Meter

OPEN = 0.15
"""From here on a search is repeated."""
CONTENDERS = 2
"""Classes that are searched again, those of highest value."""
DEMONSTRATED, NOTICEABLE = 0.5, 0.25
"""A trigger that carries every second picture which no twin follows is evidence by itself where no
bank sets thresholds, but not with few classes; half as much is worth a warning. Less is not,
whatever a bank says: it tells how models of its few tasks scatter, and tasks differ (experiment
56)."""


def thresholds_of(bank: tuple[float, float] | None, classes: int) -> Thresholds:
    """From a bank's thresholds for accusing and for warning, infinite where it is too small."""
    flag, warn = bank or (math.inf, math.inf)
    by_itself = DEMONSTRATED if classes > FEW_CLASSES else math.inf
    flag = max(flag, NOTICEABLE) if math.isfinite(flag) else by_itself
    warn = max(warn, NOTICEABLE) if math.isfinite(warn) else NOTICEABLE
    return Thresholds(flag, min(warn, flag), OPEN, flag, max_sweeps=2)


@dataclass(frozen=True)
class ClassFound:
    """What all readings say of one class, with the trigger that carries most.

    Attributes:
        inverted: its trigger's figures; None where the class was no finalist of any space.
        values: of each reading that searched it.
        spaces: by space, the largest value that a trigger of it reached.
    """

    target: int
    inverted: Inverted | None
    values: tuple[float, ...]
    spaces: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """As it stands in the report; null what only a trigger can tell."""
        figures = self.inverted.to_json() if self.inverted else dict.fromkeys(Inverted.FIGURES)
        return figures | {"twin_excess": list(self.values), "spaces": dict(self.spaces)}


@dataclass
class TwinTest(Settling):
    """Searches one classifier, once or twice.

    Attributes:
        seed: of the first reading; the other has the next.
        sweeps: the readings so far.
    """

    classifier: Classifier
    pools: Pools
    search: Search
    seed: int
    thresholds: Thresholds
    sweeps: list[Reading] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)

    def sweep(self, targets: list[int], meter: Meter) -> None:
        """Search once more, with the next seed and the next probes.

        Raises:
            BudgetExceeded: the time ran out; what was found until then is kept.
            NumericalError: something became NaN or infinite.
        """
        number = len(self.sweeps)
        references = self._references if number % 2 == 0 else self._references.swapped()
        search = self.search if number == 0 else replace(self.search, leading=None)
        contrast = Contrast(self.classifier, references)
        pixels = self.pools.turned(number, search.num_eval)
        held_out = HeldOut.of(self.classifier, references, pixels)
        seed = derive_seed(self.seed, "sweep", number)
        self.targets = self.targets or targets
        self.sweeps.append(read(contrast, held_out, search, targets, seed, meter))
        meter.check()

    @property
    def steps(self) -> int:
        """Updates of each search for a trigger."""
        return self.search.effort.steps

    def units(self, targets: int) -> int:
        """Spaces that one reading searches."""
        return len(self.search.spaces)

    def expected(self, targets: int) -> Expected:
        """What a first reading costs, from one measured batch of gradients.

        A picture that is only encoded counts as a third of one with its gradient.
        """
        references, batch = self._references, self.search.effort.batch
        contrast = Contrast(self.classifier, references)
        pixels, clean = references.pixels[:batch], references.clean[:batch]

        def once() -> object:
            moved = pixels.clone().requires_grad_()
            return torch.autograd.grad(contrast.of(moved, clean, 0), moved)

        each = timed(once, pixels) / len(pixels)
        work = self.search.work(targets)
        encoded = work.encoded + len(references.pixels) + self.search.num_eval
        seconds = each * (work.updated + encoded / 3)
        return Expected(self.units(targets), seconds, work.updated + encoded)

    @property
    def outcomes(self) -> list[ClassFound]:
        """One for each target, in order."""
        return [self._outcome(target) for target in self.targets]

    def judged(self) -> Judgement:
        """What the readings so far say."""
        scores = [self.score(target) for target in self.targets]
        over = [
            (score, target)
            for score, target in zip(scores, self.targets, strict=True)
            if score >= self.thresholds.flag
        ]
        suspects = [target for _, target in sorted(over, key=lambda one: -one[0])]
        return Judgement(max(scores), self.thresholds, scores, suspects, published=None)

    def score(self, target: int) -> float:
        """The smallest value of a class over the readings that searched it, in [-1,1]."""
        first, *others = self._values(target)
        if others or len(self.sweeps) == 1:
            return min(first, *others, 1.0)
        return min(first, OPEN)

    def ranked(self, judgement: Judgement) -> list[int]:
        """All classes, that of the highest score first."""
        scores = dict(zip(self.targets, judgement.per_class, strict=True))
        return sorted(self.targets, key=lambda target: -scores[target])

    def again(self, judgement: Judgement, meter: Meter) -> Judgement:
        """Search the contenders once more, and judge everything; raises as `sweep` does."""
        meter.expect(len(self.search.spaces))
        self.sweep(self.ranked(judgement)[:CONTENDERS], meter)
        return self.judged()

    @cached_property
    def _references(self) -> References:
        return References.of(self.classifier, self.pools.optimisation)

    @cached_property
    def _baseline(self) -> CleanBaseline:
        return encode_clean(self.classifier, self.pools.held_out[: self.search.num_eval])

    def _values(self, target: int) -> list[float]:
        """Of the first reading, and of the others where they searched the class."""
        first, *others = self.sweeps
        return [first.value(target)] + [one.value(target) for one in others if one.best(target)]

    def _outcome(self, target: int) -> ClassFound:
        found = [one for reading in self.sweeps for one in reading.of(target).values()]
        spaces: dict[str, float] = {}
        for one in found:
            spaces[one.space.name] = max(one.value, spaces.get(one.space.name, -1.0))
        best = max(found, key=lambda one: one.value, default=None)
        values = tuple(self._values(target))
        return ClassFound(target, None if best is None else self._measured(best), values, spaces)

    def _measured(self, found: Found) -> Inverted:
        trigger = Laid(found.space, found.member)
        return measure(self.classifier, self._baseline, found.target, trigger)
