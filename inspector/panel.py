"""One classifier before every kind of probes: the kind on which it stands worst decides.

A prompt that was taught a trigger answers it on some pictures and not on others, and on which ones is
not known beforehand (LOG.md, experiment 49). Scores on all kinds are in units of one threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inspector.clip.classifier import Classifier
from inspector.cost import searches_of
from inspector.examination import Examination
from inspector.inversion.sweep import Start
from inspector.probing import Probing
from inspector.progress import Meter
from inspector.scoring.decide import Judgement


@dataclass(frozen=True)
class Standing:
    """An examination, and how it judges by now."""

    examination: Examination
    judgement: Judgement

    @property
    def is_open(self) -> bool:
        """Whether another sweep is needed."""
        return self.judgement.is_open(len(self.examination.sweeps))

    @property
    def rank(self) -> tuple[bool, float]:
        """An accusation before a score without one."""
        return bool(self.judgement.suspects), self.judgement.score


@dataclass(frozen=True)
class Panel:
    """One examination for each kind of probes, that of the asked ones first."""

    examinations: list[Examination]

    @staticmethod
    def of(
        classifier: Classifier,
        probings: Sequence[Probing],
        seed: int,
        starts: Sequence[Start] | None = None,
    ) -> Panel:
        """Of a classifier as it is now; `starts`: what is known of the first probes of each kind."""
        known: Sequence[Start | None] = starts or [None] * len(probings)
        return Panel(
            [
                Examination(classifier, one.pools, one.config, seed, start)
                for one, start in zip(probings, known, strict=True)
            ]
        )

    def sweep(self, targets: list[int], meter: Meter) -> None:
        """The first of each examination; raises as `Examination.sweep` does."""
        for examination in self.examinations:
            examination.sweep(targets, meter)

    def standings(self) -> list[Standing]:
        """Of all examinations, the worst for the model first: that one decides."""
        return _ranked([Standing(one, one.judged()) for one in self.examinations])

    def run(self, targets: list[int], meter: Meter) -> list[Standing]:
        """Every sweep that is needed; raises as `Examination.sweep` does."""
        self.sweep(targets, meter)
        standings = self.standings()
        while doubtful := in_doubt(standings):
            standings = again(standings, doubtful, meter)
        return standings


def in_doubt(standings: list[Standing]) -> Standing | None:
    """Which examination to sweep again; none where all are settled, or one accuses and is."""
    first = standings[0]
    if first.judgement.suspects and not first.is_open:
        return None
    return next((standing for standing in standings if standing.is_open), None)


def again(standings: list[Standing], doubtful: Standing, meter: Meter) -> list[Standing]:
    """Sweep one examination once more; raises as `Examination.sweep` does."""
    judgement = doubtful.examination.again(doubtful.judgement, meter)
    others = [standing for standing in standings if standing is not doubtful]
    return _ranked([Standing(doubtful.examination, judgement), *others])


def _ranked(standings: list[Standing]) -> list[Standing]:
    return sorted(standings, key=lambda standing: standing.rank, reverse=True)


def expected_searches(probings: Sequence[Probing], targets: int) -> int:
    """Classes that first sweeps over so many search."""
    return sum(searches_of(one.config, targets) for one in probings)
