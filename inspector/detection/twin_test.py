"""The test by twins: random triggers and a search, and where both together find something, again.

Both readings tell what share of held-out probes a trigger carries to class k in the delivered
classifier and in no twin of it (`inspector.detection.excess`): random_k of triggers that are drawn
(`inspector.detection.random_reading`), searched_k of the best one that is searched for, over the
spaces (`inspector.detection.reading`). The two err on different models: a search finds a
perturbation of its own in some honest models, and an attacker's trigger may be like none that is
drawn. They are added,

    score_k = max(0, searched_k) + RANDOM_WEIGHT · max(0, random_k),

as what speaks for the same class twice is worth more than either; the weight brings both to what
honest models reach. Where no class reaches OPEN, that is all. Else random triggers are drawn anew,
and the classes that lead are searched once more, with another seed, on other held-out probes as far
as there are, and with the twins in each other's place. Of each reading the smaller value then
counts: what two readings both show that share the suspect, its twins and the pictures that these
learned from, but not the seed, and held-out probes only where these are few. Of a class that was
searched once it is its value, and no more than the value under which nothing is repeated. The score
of a model is the largest of its classes'. The banks that come with clipvet add two readings that
were made apart (`tests/bench/banks.py`), those of `clipvet calibrate` go this way, step by step.
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
from inspector.detection.random_reading import RandomReading, encoded_by_random, read_random
from inspector.detection.random_triggers import SHARES
from inspector.detection.reading import Found, Reading, Search, read
from inspector.detection.references import References
from inspector.detection.seeds import derive_seed
from inspector.detection.triggers import Laid
from inspector.profiles import FEW_CLASSES
from inspector.progress import Meter

RANDOM_WEIGHT = 2.5
"""Honest models of five classes and more reach 0.1 under random triggers, and 0.25 in a search
(experiment 58)."""
OPEN = 0.3
"""From here on both readings are repeated."""
RANDOM_EVAL = 250
"""Held-out probes that random triggers are put on, at most: `standard` has so many."""
CONTENDERS = 2
"""Classes that are searched again, those of highest value."""
DEMONSTRATED = 0.5
"""A trigger that carries every second picture which no twin follows, in two searches, is evidence
by itself where no bank sets thresholds; but not with few classes (experiment 55)."""
NOTICEABLE = 0.45
"""Less neither accuses nor warns, whatever a bank says: it tells how models of its few tasks
scatter, and tasks differ (experiments 56 and 58)."""


UNHEARD_OF = 1.0
"""Without a bank less is not worth a warning: twice what any honest model of more than four classes
reached in our bank; of few classes two of 96 reached it (experiment 58)."""


def thresholds_of(bank: tuple[float, float] | None, classes: int) -> Thresholds:
    """From a bank's thresholds for accusing and for warning, infinite where it is too small."""
    flag, warn = (max(least, NOTICEABLE) for least in bank or (math.inf, math.inf))
    by_itself = classes > FEW_CLASSES and math.isinf(flag)
    demonstrated = DEMONSTRATED if by_itself else math.inf
    calm = None if math.isfinite(warn) else NOTICEABLE
    warn = warn if math.isfinite(warn) else UNHEARD_OF
    return Thresholds(flag, min(warn, flag), OPEN, flag, 2, demonstrated, calm)


@dataclass(frozen=True)
class ClassFound:
    """What all readings say of one class, with the trigger that carries most.

    Attributes:
        inverted: its trigger's figures; None where the class was no finalist of any space.
        searched: of each search of it.
        random: of each reading by random triggers.
        spaces: by space, the largest value that a trigger of it reached.
    """

    target: int
    inverted: Inverted | None
    searched: tuple[float, ...]
    random: tuple[float, ...]
    spaces: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """As it stands in the report; null what only a trigger can tell."""
        figures = self.inverted.to_json() if self.inverted else dict.fromkeys(Inverted.FIGURES)
        return figures | {
            "twin_excess": list(self.searched),
            "random_excess": list(self.random),
            "spaces": dict(self.spaces),
            "speaking": self.speaking,
        }

    @property
    def speaking(self) -> list[str]:
        """Readings that would be repeated for what they show of this class alone."""
        drawn = ["random"] if joined(0.0, min(self.random)) >= OPEN else []
        return drawn + [space for space, value in self.spaces.items() if value >= OPEN]


@dataclass(frozen=True)
class Sweep:
    """Both readings with one seed."""

    random: RandomReading
    search: Reading


def joined(searched: float, random: float) -> float:
    """The score of what both readings say of a class; a reading that is silent takes nothing."""
    return max(0.0, searched) + RANDOM_WEIGHT * max(0.0, random)


@dataclass
class TwinTest(Settling):
    """Searches one classifier, once or twice.

    Attributes:
        seed: of the first reading; the other has the next.
        sweeps: so far.
    """

    classifier: Classifier
    pools: Pools
    search: Search
    seed: int
    thresholds: Thresholds
    sweeps: list[Sweep] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)

    def sweep(self, targets: list[int], meter: Meter) -> None:
        """Read once more, with the next seed and the next probes.

        Raises:
            BudgetExceeded: the time ran out; what was found until then is kept.
            NumericalError: something became NaN or infinite.
        """
        number = len(self.sweeps)
        references = self._references if number % 2 == 0 else self._references.swapped()
        search = self.search if number == 0 else replace(self.search, leading=None)
        seed = derive_seed(self.seed, "sweep", number)
        shown, judged = (
            HeldOut.of(self.classifier, references, self.pools.turned(number, few))
            for few in (RANDOM_EVAL, search.num_eval)
        )
        random = read_random(shown, derive_seed(seed, "random triggers"), meter)
        heard = [one for one in targets if RANDOM_WEIGHT * random.value(one) >= OPEN]
        contrast = Contrast(self.classifier, references)
        found = read(contrast, judged, search, targets, seed, meter, heard)
        self.targets = self.targets or targets
        self.sweeps.append(Sweep(random, found))
        meter.check()

    @property
    def steps(self) -> int:
        """Updates of each search for a trigger."""
        return self.search.effort.steps

    def units(self, targets: int) -> int:
        """Families of random triggers, and spaces that are searched."""
        return len(SHARES) + len(self.search.spaces)

    def expected(self, targets: int) -> Expected:
        """What a first sweep costs, from one measured batch of gradients.

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
        shown = min(RANDOM_EVAL, len(self.pools.held_out))
        random = shown + encoded_by_random(shown)
        encoded = work.encoded + len(references.pixels) + self.search.num_eval + random
        seconds = each * (work.updated + encoded / 3)
        return Expected(self.units(targets), seconds, work.updated + encoded)

    @property
    def outcomes(self) -> list[ClassFound]:
        """One for each target, in order."""
        return [self._outcome(target) for target in self.targets]

    def judged(self) -> Judgement:
        """What the sweeps so far say."""
        scores = [self.score(target) for target in self.targets]
        over = [
            (score, target)
            for score, target in zip(scores, self.targets, strict=True)
            if score >= self.thresholds.flag or self._is_demonstrated(target)
        ]
        suspects = [target for _, target in sorted(over, key=lambda one: -one[0])]
        return Judgement(max(scores), self.thresholds, scores, suspects, published=None)

    def score(self, target: int) -> float:
        """What both readings of a class add up to, in [0, 1 + RANDOM_WEIGHT]."""
        searched = self._searched(target)
        both = joined(min(searched), min(self._random(target)))
        settled = len(searched) > 1 or len(self.sweeps) == 1
        return both if settled else min(both, OPEN)

    def ranked(self, judgement: Judgement) -> list[int]:
        """All classes, that of the highest score first."""
        scores = dict(zip(self.targets, judgement.per_class, strict=True))
        return sorted(self.targets, key=lambda target: -scores[target])

    def again(self, judgement: Judgement, meter: Meter) -> Judgement:
        """Read once more, search the contenders only, and judge all; raises as `sweep` does."""
        meter.expect(self.units(len(self.targets)))
        self.sweep(self.ranked(judgement)[:CONTENDERS], meter)
        return self.judged()

    @cached_property
    def _references(self) -> References:
        return References.of(self.classifier, self.pools.optimisation)

    @cached_property
    def _baseline(self) -> CleanBaseline:
        return encode_clean(self.classifier, self.pools.held_out[: self.search.num_eval])

    def _is_demonstrated(self, target: int) -> bool:
        """Whether two searches are evidence by themselves."""
        searched = self._searched(target)
        return len(searched) > 1 and min(searched) >= self.thresholds.demonstrated

    def _searched(self, target: int) -> list[float]:
        """Of the first search, and of the others where they searched the class."""
        first, *others = (sweep.search for sweep in self.sweeps)
        return [first.value(target)] + [one.value(target) for one in others if one.best(target)]

    def _random(self, target: int) -> list[float]:
        return [sweep.random.value(target) for sweep in self.sweeps]

    def _outcome(self, target: int) -> ClassFound:
        found = [one for sweep in self.sweeps for one in sweep.search.of(target).values()]
        spaces: dict[str, float] = {}
        for one in found:
            spaces[one.space.name] = max(one.value, spaces.get(one.space.name, -1.0))
        best = max(found, key=lambda one: one.value, default=None)
        inverted = None if best is None else self._measured(best)
        searched, random = tuple(self._searched(target)), tuple(self._random(target))
        return ClassFound(target, inverted, searched, random, spaces)

    def _measured(self, found: Found) -> Inverted:
        trigger = Laid(found.space, found.member)
        return measure(self.classifier, self._baseline, found.target, trigger)
