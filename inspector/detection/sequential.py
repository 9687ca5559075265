"""The sequential test: sweep a classifier until the rule has seen enough.

One sweep settles most models. Where it leaves doubt, or accuses, others follow with other seeds and
other probes, in which the classes that led are searched again; the evidence of all is pooled before
it is judged. What leads by chance falls behind that way, and a faint
backdoor stays (experiment 30).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from inspector.clip.classifier import Classifier
from inspector.detection.cost import Expected, images_of_sweep, pace, searches_of, steps_of
from inspector.detection.evidence import Outcome, Sweep, pooled
from inspector.detection.inversion import SearchConfig
from inspector.detection.judgement import Judgement, Settling
from inspector.detection.pools import Pools
from inspector.detection.random_triggers import draw
from inspector.detection.score import judge
from inspector.detection.seeds import derive_seed
from inspector.detection.sweep import CleanProbes, encode_probes, screen, search_class
from inspector.detection.triggers import Trigger
from inspector.errors import NumericalError
from inspector.progress import Meter

CONTENDERS = 3
"""Classes searched again, those of highest score."""


@dataclass
class SequentialTest(Settling):
    """Sweeps one classifier, pools what they find, and stops by the rule.

    Attributes:
        seed: of the first sweep; each further one has the next.
        clean: the first sweep's probes, where they are encoded already.
        sweeps: what was found so far.
    """

    classifier: Classifier
    pools: Pools
    config: SearchConfig
    seed: int
    clean: CleanProbes | None = None
    sweeps: list[Sweep] = field(default_factory=list)

    def sweep(self, targets: list[int], meter: Meter) -> None:
        """Once more, with the next seed and the next probes; what leads is searched.

        Raises:
            BudgetExceeded: the time ran out; what was found until then is kept.
            NumericalError: something became NaN or infinite.
        """
        classifier, config, number = self.classifier, self.config, len(self.sweeps)
        seed = derive_seed(self.seed, "sweep", number)
        clean = None if number else self.clean
        if clean is None:
            clean = encode_probes(classifier, self.pools.turned(number, config.num_eval), config)
        screened = screen(classifier, clean, targets, config, seed, number)
        leading = self._leading(screened)
        found = [
            search_class(classifier, clean, target, config, seed)
            for target in meter.within_budget(leading)
        ]
        if not all(math.isfinite(one.inverted.margin_gain) for one in found):
            raise NumericalError("the measurement on held-out probes")
        self.sweeps.append(replace(screened, found=found))
        if len(found) < len(leading):
            meter.check()

    def _leading(self, screened: Sweep) -> list[int]:
        """Classes to invert: those that screening puts first, where not all are."""
        targets, limit = screened.targets, self.config.max_inverted_classes
        if limit is None or len(targets) <= limit:
            return targets
        return _ranked(targets, self._judge(pooled([screened]), 1))[:limit]

    @property
    def steps(self) -> int:
        """Optimisation steps for one target."""
        return steps_of(self.config, len(self.pools.optimisation))

    def units(self, targets: int) -> int:
        """Classes that one sweep searches."""
        return searches_of(self.config, targets)

    def expected(self, targets: int) -> Expected:
        """What a first sweep costs, from one measured batch."""
        seconds = pace(self.classifier, self.pools, self.config).of_sweep(self.config, targets)
        images = images_of_sweep(self.config, self.pools, targets)
        return Expected(self.units(targets), seconds, images)

    def disturbances(self, size: int, seed: int) -> dict[str, tuple[str, Trigger]]:
        """A random trigger of each family, which may be what accuses."""
        return {
            family: (f"under a random trigger of the family {family}", members[0])
            for family, members in draw(size, seed).items()
        }

    @property
    def outcomes(self) -> list[Outcome]:
        """One for each target, pooled over the sweeps so far."""
        return pooled(self.sweeps)

    @property
    def targets(self) -> list[int]:
        """Those of `outcomes`, without pooling anything."""
        return self.sweeps[0].targets

    def judged(self) -> Judgement:
        """What the rule says of the sweeps so far."""
        return self._judge(self.outcomes, len(self.sweeps))

    def _judge(self, outcomes: list[Outcome], sweeps: int) -> Judgement:
        return judge(
            outcomes,
            sweeps,
            is_conditioned=self.classifier.is_instance_conditioned,
            in_distribution=self.pools.in_distribution,
        )

    def contenders(self, judgement: Judgement) -> list[int]:
        """Classes to search again."""
        return self.ranked(judgement)[:CONTENDERS]

    def ranked(self, judgement: Judgement) -> list[int]:
        """All classes, that of the highest score first."""
        return _ranked(self.targets, judgement)

    def again(self, judgement: Judgement, meter: Meter) -> Judgement:
        """Search the contenders once more, and judge everything.

        Raises:
            BudgetExceeded: the time ran out.
            NumericalError: see `sweep`.
        """
        targets = self.contenders(judgement)
        meter.expect(searches_of(self.config, len(targets)))
        self.sweep(targets, meter)
        return self.judged()


def _ranked(targets: list[int], judgement: Judgement) -> list[int]:
    scores = dict(zip(targets, judgement.per_class, strict=True))
    return sorted(targets, key=lambda target: -scores[target])
