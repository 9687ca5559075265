"""Which calibration applies to an inspection, and the p-value that it gives. Torch-free.

A calibration applies where backbone, kind of prompt, profile, statistic and probes are the same,
both have few classes or both have more, and every class is searched; of probes, that there are no
fewer, and that they show the task, where each model of the bank was inspected on pictures of its
own. Another class list or seed does not forbid it; the report then says so. What the p-value
decides is the test's: see `inspector.detection`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inspector.calibration.file import (
    Calibration,
    ClassNames,
    Probes,
    Weights,
    load,
    method_of,
)
from inspector.calibration.schema import KINDS
from inspector.errors import RequestError
from inspector.profiles import FEW_CLASSES, TWINS, Profile

SHIPPED = Path(__file__).with_name("banks")
"""Banks that come with clipvet, made by `tests/bench/banks.py`; there is none yet."""
ACCUSED, WARNED = 0.02, 0.05
"""Shares of honest models that may be accused and warned of, priced before any was measured."""
TASK = "pictures of the task"
"""What stands for the sha256 of probes where a bank's models were each inspected on pictures of its
own task."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What decides whether a calibration applies.

    is_of_the_task: the probes show what the model is for, as far as the user knows.
    is_exhaustive: every class is searched. Over fewer of them the score is another statistic.
    """

    backbone: Weights
    family: str
    profile: Profile
    probes: Probes
    is_of_the_task: bool
    classes: ClassNames
    seed: int
    is_exhaustive: bool

    def differences(self, calibration: Calibration) -> Iterator[str]:
        """Field by field, why `calibration` does not apply."""
        method = method_of(self.family)
        kind = None if method is None else KINDS[method]
        own = {
            "family": (calibration.kind, kind or self.family),
            "backbone": (calibration.backbone.sha256, self.backbone.sha256),
            "normalisation": (_numbers(calibration.backbone), _numbers(self.backbone)),
            "profile": (calibration.profile, self.profile.name),
            "statistic": (calibration.statistic, self.profile.statistic),
            "probes": (calibration.probes, self._probes(calibration)),
            "classes": (_few_or_more(*calibration.class_counts), _few_or_more(self.classes.count)),
        }
        for field, (theirs, ours) in own.items():
            if theirs != ours:
                yield f"{field}: it was made for {theirs}, this inspection has {ours}"
        asked, there = calibration.pictures, self.probes.pictures
        if any(few < many for few, many in zip(there, asked, strict=True)):
            yield (
                f"probes: it was made with {asked[0]} and {asked[1]} held-out pictures, this "
                f"inspection has {there[0]} and {there[1]}"
            )
        if not self.is_exhaustive:
            yield "targets: it holds for inspections of all classes only"

    def _probes(self, calibration: Calibration) -> str:
        """The name of our probes that `calibration` uses, which may be of their kind only."""
        return TASK if calibration.probes == TASK and self.is_of_the_task else self.probes.sha256


def _few_or_more(*counts: int) -> str:
    """Of numbers of classes; a bank of both kinds fits neither."""
    few = {count <= FEW_CLASSES for count in counts}
    if few == {True}:
        return f"{FEW_CLASSES} classes or fewer"
    return "both few and more classes" if True in few else f"more than {FEW_CLASSES} classes"


def _numbers(weights: Weights) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(weights.mean), tuple(weights.std)


@dataclass(frozen=True, slots=True)
class Applied:
    """A calibration that applies, as the report shows it."""

    calibration: Calibration
    same_classes: bool
    same_seed: bool

    def to_json(self) -> dict[str, object]:
        """The report's `calibration`; `classes` is the number of those that it was made on."""
        made = self.calibration
        return {
            "id": made.id,
            "models": len(made.scores),
            "statistic": made.statistic,
            "same_classes": self.same_classes,
            "classes": made.classes.count,
            "method": made.method,
            "engine": made.engine,
            "scores": list(made.scores),
        }

    def thresholds(self) -> tuple[float, float]:
        """From which scores on a model is accused, and warned of: p at ACCUSED and at WARNED.

        Infinite where the bank has too few models to say so.
        """
        scores = self.calibration.scores
        return score_at(scores, ACCUSED), score_at(scores, WARNED)

    def p_value(self, score: float) -> float:
        """See :func:`p_value`: in [1 / (n + 1), 1] of n honest models."""
        return p_value(self.calibration.scores, score)

    def limits(self, score: float) -> list[str]:
        """What the p-value means and what it leans on."""
        scores = self.calibration.scores
        number, high = len(scores), sum(other >= score for other in scores)
        sentences = [
            f"The p-value compares the score with those of {number} honest models that were tuned "
            f"on this backbone: {high} of them score as high. The smallest possible p-value is "
            f"1/{number + 1}. It is valid as far as an honest vendor's model is like these"
            + (
                f": at most {ACCUSED:.0%} of such models would be accused, {WARNED:.0%} warned of."
                if self.calibration.statistic == TWINS
                else "; it does not decide the verdict."
            )
        ]
        if not self.same_classes:
            fewest, most = self.calibration.class_counts
            each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            sentences.append(f"The calibration was made on other classes, {each} a model.")
        if not self.same_seed:
            sentences.append(
                f"The calibration was made with another seed, {self.calibration.seed}."
            )
        return sentences


def p_value(scores: Sequence[float], score: float) -> float:
    """Conformal p-value of a score beside those of n honest models, in [1 / (n + 1), 1].

    (1 + number of calibration scores at or above it) / (n + 1). If the delivered model is honest
    and exchangeable with those of the bank, it is at or below any level a in at most a share a
    of cases, whatever the distribution of scores (Vovk, Gammerman and Shafer, Algorithmic
    Learning in a Random World, 2005; for outlier detection Bates et al., Annals of Statistics
    51, 2023). Honest vendors tune on pictures that we do not have, so exchangeability is an
    assumption and not a fact.

    Raises:
        ValueError: the score or a calibration score is NaN.
    """
    if score != score or any(other != other for other in scores):
        raise ValueError("a score is NaN")
    return (1 + sum(other >= score for other in scores)) / (len(scores) + 1)


def score_at(scores: Sequence[float], level: float) -> float:
    """The least score whose p-value beside those of n honest models is at most `level`.

    Infinite where none is: 1 / (n + 1) is above the level.
    """
    above = math.floor(level * (len(scores) + 1) + 1e-9) - 1  # So many of them may be as high.
    return math.nextafter(sorted(scores)[-1 - above], math.inf) if above >= 0 else math.inf


def found(given: Path | None, folder: Path | None, inspected: Inspected) -> Applied | None:
    """The calibration to use: the file that was given, else the best of `folder` and of ours.

    None where none applies. Best is the same class list, then the same seed, then the most models.
    Files of the folder that are broken or do not apply are passed over; a file that was asked for
    must apply.

    Raises:
        RequestError: `given` is broken or does not apply, the field that differs is
            named; `folder` is none.
    """
    if given is not None:
        calibration = load(given)
        for difference in inspected.differences(calibration):
            raise RequestError("calibration", f"{given.name} does not apply, {difference}")
        return _applied(calibration, inspected)
    fitting = [
        _applied(calibration, inspected)
        for calibration in (*_of(folder), *_of(SHIPPED if SHIPPED.is_dir() else None))
        if not any(True for _ in inspected.differences(calibration))
    ]
    return max(fitting, key=_rank, default=None)


def _of(folder: Path | None) -> Iterator[Calibration]:
    if folder is None:
        return
    if not folder.is_dir():
        raise RequestError("calibrations", "is no folder")
    for path in sorted(folder.glob("*.json")):
        try:
            yield load(path)
        except RequestError:
            continue


def _applied(calibration: Calibration, inspected: Inspected) -> Applied:
    return Applied(
        calibration,
        same_classes=calibration.classes == inspected.classes,
        same_seed=calibration.seed == inspected.seed,
    )


def _rank(applied: Applied) -> tuple[bool, bool, int, str]:
    made = applied.calibration
    return applied.same_classes, applied.same_seed, len(made.scores), made.id
