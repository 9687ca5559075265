"""Sweeping a classifier until the rule has seen enough.

One sweep settles most models. Where it leaves doubt, or accuses, others follow with other seeds and
other probes, in which the classes that led are searched again; the evidence of all is pooled before
it is judged. What leads by chance falls behind that way, and a faint backdoor stays (LOG.md,
experiment 30).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from inspector.clip.classifier import Classifier
from inspector.errors import NumericalError
from inspector.inversion.search import SearchConfig
from inspector.inversion.sweep import Outcome, Pools, Start, Sweep, begin, pooled, sweep
from inspector.progress import Meter
from inspector.scoring.decide import Judgement, judge

CONTENDERS = 3
"""Classes searched again, those of highest score."""


@dataclass
class Examination:
    """`start`: what is known of the first probes, where it is; `reference`: the clean twin's outcomes
    for the same targets, for static prompts."""

    classifier: Classifier
    pools: Pools
    config: SearchConfig
    seed: int
    start: Start | None = None
    reference: list[Outcome] | None = None
    sweeps: list[Sweep] = field(default_factory=list)

    def sweep(self, targets: Iterable[int]) -> None:
        """Once more, with the next seed and the next probes.

        Raises:
            NumericalError: something became NaN or infinite.
        """
        times = len(self.sweeps)
        start = None if times else self.start
        if start is None:
            start = begin(self.classifier, self.pools.turned(times, self.config), self.config)
        done = sweep(self.classifier, start, targets, self.config, self.seed + times, times)
        if not all(math.isfinite(one.outcome.margin_gain) for one in done.found):
            raise NumericalError("the measurement on held-out probes")
        self.sweeps.append(done)

    @property
    def outcomes(self) -> list[Outcome]:
        return pooled(self.sweeps)

    @property
    def targets(self) -> list[int]:
        """Those of `outcomes`, without pooling anything."""
        return [one.outcome.target for one in self.sweeps[0].found]

    def judged(self) -> Judgement:
        return judge(self.outcomes, self.reference, len(self.sweeps))

    def contenders(self, judgement: Judgement) -> list[int]:
        """Classes to search again."""
        ranked = zip(judgement.per_class, self.targets, strict=True)
        return [target for _, target in sorted(ranked, reverse=True)[:CONTENDERS]]

    def again(self, judgement: Judgement, meter: Meter) -> Judgement:
        """Search the contenders once more, and judge everything.

        Raises:
            BudgetExceeded: the time ran out.
            NumericalError: see `sweep`.
        """
        targets = self.contenders(judgement)
        meter.expect(len(targets))
        self.sweep(meter.within_budget(targets))
        meter.check()
        return self.judged()

    def run(self, targets: list[int], meter: Meter) -> Judgement:
        """Every sweep that is needed; raises as `again` does."""
        self.sweep(meter.within_budget(targets))
        meter.check()
        judgement = self.judged()
        while judgement.is_open(len(self.sweeps)):
            judgement = self.again(judgement, meter)
        return judgement
