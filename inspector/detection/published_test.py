"""The published method (CLIP-Inspector, arXiv 2604.09101): every class, one rule, no bank.

A trigger is searched for every class by the joint margin. With m_k the mean margin of held-out
probes under that of class k, in logit units,

    z_k = (m_k - median m) / (1.4826 median |m - median m|)

and the class of the highest z is accused above 2 if its trigger moves at least half of the probes.
The statistic is Neural Cleanse's (S&P 2019). Nothing says how often honest models of a backbone
are accused by it; so the report may warn with it, and neither clears nor accuses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

import torch

from inspector.clip.classifier import Classifier
from inspector.detection.cost import Expected, timed
from inspector.detection.effects import CleanBaseline, encode_clean
from inspector.detection.evidence import Inverted, measure
from inspector.detection.inversion import SearchConfig, invert, prepare
from inspector.detection.judgement import Judgement, Settling, Thresholds
from inspector.detection.objectives import Objective
from inspector.detection.pools import Pools
from inspector.detection.seeds import derive_seed
from inspector.detection.triggers import Added
from inspector.errors import NumericalError
from inspector.progress import Meter

PUBLISHED_THRESHOLD, PUBLISHED_SUCCESS = 2.0, 0.5
CONSISTENCY = 1.4826
"""Makes the median absolute deviation an estimate of a normal standard deviation."""
_BELOW = math.nextafter(PUBLISHED_THRESHOLD, 0.0)
"""The most that a score may be where nobody is accused."""
_THRESHOLDS = Thresholds(
    flag=PUBLISHED_THRESHOLD, warn=PUBLISHED_THRESHOLD, stop_clean=math.inf, stop_flag=math.inf,
    max_sweeps=1,
)  # fmt: skip


def one_sided_mad(values: Sequence[float]) -> list[float]:
    """(x - median) / spread over all classes: the published statistic. Zero where all are equal."""
    centre = median(values)
    scale = CONSISTENCY * median(abs(value - centre) for value in values)
    return [(value - centre) / scale if scale > 0 else 0.0 for value in values]


@dataclass(frozen=True)
class ClassInverted:
    """A class and its trigger."""

    target: int
    inverted: Inverted

    def to_json(self) -> dict[str, Any]:
        """As it stands in the report."""
        return self.inverted.to_json()


def published_decision(outcomes: Sequence[ClassInverted]) -> Mapping[str, Any]:
    """What the published rule says: score, threshold, flagged, target."""
    scores = one_sided_mad([one.inverted.margin for one in outcomes])
    best = max(range(len(scores)), key=scores.__getitem__)
    valid = outcomes[best].inverted.asr >= PUBLISHED_SUCCESS
    return {
        "score": scores[best],
        "threshold": PUBLISHED_THRESHOLD,
        "flagged": bool(scores[best] > PUBLISHED_THRESHOLD and valid),
        "target": outcomes[best].target,
    }


@dataclass
class PublishedTest(Settling):
    """Searches every class of one classifier once.

    Attributes:
        seed: of the searches; each class has one of its own.
        sweeps: the one, when it has begun; the same as `outcomes`.
    """

    classifier: Classifier
    pools: Pools
    config: SearchConfig
    seed: int
    sweeps: list[list[ClassInverted]] = field(default_factory=list)

    def sweep(self, targets: list[int], meter: Meter) -> None:
        """Search every class of `targets`.

        Raises:
            BudgetExceeded: the time ran out; what was found until then is kept.
            NumericalError: something became NaN or infinite.
        """
        found: list[ClassInverted] = []
        self.sweeps.append(found)
        for target in meter.within_budget(targets):
            seed = derive_seed(self.seed, "inversion", target)
            generator = torch.Generator().manual_seed(seed)
            trigger = Added(invert(self._objective, target, self.config, generator))
            inverted = measure(self.classifier, self._baseline, target, trigger)
            if not math.isfinite(inverted.margin_gain):
                raise NumericalError("the measurement on held-out probes")
            found.append(ClassInverted(target, inverted))
        if len(found) < len(targets):
            meter.check()

    @property
    def steps(self) -> int:
        """Updates of each search."""
        return self.config.epochs * -(-len(self.pools.optimisation) // self.config.batch)

    def units(self, targets: int) -> int:
        """Classes that are searched."""
        return targets

    def expected(self, targets: int) -> Expected:
        """What it costs, from one measured batch; a picture that is only encoded costs a third."""
        pixels = self.pools.optimisation[: self.config.batch]

        def once() -> object:
            moved = pixels.clone().requires_grad_()
            return torch.autograd.grad(self._objective.loss(moved, 0), moved)

        updated = self.config.epochs * len(self.pools.optimisation)
        encoded = len(self.pools.held_out)
        seconds = timed(once, pixels) / len(pixels) * targets * (updated + encoded / 3)
        return Expected(targets, seconds, targets * (updated + encoded))

    @property
    def outcomes(self) -> list[ClassInverted]:
        """One for each class that was searched."""
        return self.sweeps[0]

    def judged(self) -> Judgement:
        """What the published rule says; it accuses one class at most, and warns by it only."""
        outcomes = self.outcomes
        scores = one_sided_mad([one.inverted.margin for one in outcomes])
        says = dict(published_decision(outcomes))
        if not says["flagged"]:
            scores = [min(score, _BELOW) for score in scores]
        suspects = [says["target"]] if says["flagged"] else []
        return Judgement(max(scores), _THRESHOLDS, scores, suspects, says)

    def ranked(self, judgement: Judgement) -> list[int]:
        """All classes, that of the highest score first."""
        scored = zip(judgement.per_class, self.outcomes, strict=True)
        return [one.target for _, one in sorted(scored, key=lambda pair: -pair[0])]

    def again(self, judgement: Judgement, meter: Meter) -> Judgement:
        """Nothing: the method has no second look."""
        return judgement

    @cached_property
    def _objective(self) -> Objective:
        return prepare(self.classifier, self.pools.optimisation, "joint")

    @cached_property
    def _baseline(self) -> CleanBaseline:
        return encode_clean(self.classifier, self.pools.held_out)
