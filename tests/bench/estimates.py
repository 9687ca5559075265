"""Shares, means and AUROCs over models with intervals, and a paired test of two scores.

Intervals are 95 % percentile bootstraps that draw whole groups of models with replacement: tasks, or
task and seed within one task, because models of one data set err together. Where no resample differs
(a share of 0 or 1, or a single group) the interval is Wilson's (1927) over single models and marked
`w`: the bootstrap would claim certainty. Such an AUROC has no interval and is marked `!`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

DRAWS, LEVEL, SEED = 4000, 0.95, 0
NORMAL = 1.959963984540054
Floats = NDArray[np.float64]


class Drawn(Protocol):
    """A model, by what it is drawn with."""

    @property
    def task(self) -> str: ...
    @property
    def seed(self) -> int: ...


class Judged(Drawn, Protocol):
    """A model that was inspected, and which side it is on."""

    @property
    def is_clean(self) -> bool: ...


M = TypeVar("M", bound=Drawn)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; both None where it is not defined, `mark` says how it was made."""

    value: float | None
    low: float | None = None
    high: float | None = None
    mark: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}{self.mark}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]{self.mark}"


@dataclass(frozen=True)
class Paired:
    """Difference of two AUROCs on the same models; `p` is one-sided, for no difference or a worse."""

    first: float
    second: float
    difference: Estimate
    p: float
    models: int
    left_out: int


def auroc(attacked: Sequence[float], clean: Sequence[float]) -> float | None:
    """Share of pairs in which the attacked model scores higher, ties half; None without pairs."""
    if not attacked or not clean:
        return None
    return float(_beats(attacked, clean).mean())


def _beats(attacked: Sequence[float], clean: Sequence[float]) -> Floats:
    above, below = np.asarray(attacked, np.float64)[:, None], np.asarray(clean, np.float64)[None]
    return np.asarray((above > below) + 0.5 * (above == below), np.float64)


def scores_of(models: Sequence[Judged], name: str) -> list[float]:
    """Scores with the missing ones put where they hurt."""
    worst = {True: np.inf, False: -np.inf}
    values = [getattr(model, name) for model in models]
    return [worst[m.is_clean] if v is None else v for m, v in zip(models, values, strict=True)]


def groups_of(models: Sequence[Drawn]) -> list[str]:
    """What is drawn together: the task, or task and seed where there is only one task."""
    tasks = [model.task for model in models]
    if len(set(tasks)) > 1:
        return tasks
    return [f"{model.task}:{model.seed}" for model in models]


def _draws(groups: Sequence[str]) -> tuple[list[str], Floats]:
    """The groups in order, and how often each draw holds each of them (draws x groups)."""
    names = sorted(set(groups))
    generator = np.random.default_rng(SEED)
    counts = generator.multinomial(len(names), [1 / len(names)] * len(names), DRAWS)
    return names, counts.astype(np.float64)


def auroc_draws(models: Sequence[Judged], scores: Sequence[float]) -> Floats:
    """AUROC of every resample of groups; NaN where one lacks clean or attacked models."""
    groups = groups_of(models)
    names, counts = _draws(groups)
    member = np.asarray([[group == name for name in names] for group in groups], np.float64)
    clean = np.asarray([model.is_clean for model in models])
    values = np.asarray(scores, np.float64)
    beats = _beats(values[~clean].tolist(), values[clean].tolist())
    won = np.einsum("da,ab,db->d", counts, member[~clean].T @ beats @ member[clean], counts)
    pairs = (counts @ member[~clean].sum(0)) * (counts @ member[clean].sum(0))
    undefined = np.full(len(won), np.nan)
    return np.asarray(np.divide(won, pairs, out=undefined, where=pairs > 0), np.float64)


def auroc_estimate(models: Sequence[Judged], scores: Sequence[float]) -> Estimate:
    """AUROC with its clustered interval."""
    pairs = list(zip(models, scores, strict=True))
    value = auroc([s for m, s in pairs if not m.is_clean], [s for m, s in pairs if m.is_clean])
    if value is None:
        return Estimate(None)
    low, high = _interval(auroc_draws(models, scores))
    return Estimate(value, mark="!") if low == high else Estimate(value, low, high)


def share(models: Sequence[M], hits: Callable[[M], bool]) -> Estimate:
    """Share of the models that `hits`, with its interval."""
    struck = [hits(model) for model in models]
    found = mean(models, struck)
    if found.value is None or found.low is not None:
        return found
    return Estimate(found.value, *wilson(sum(struck), len(struck)), mark="w")


def mean(models: Sequence[Drawn], values: Sequence[float]) -> Estimate:
    """Mean of a value a model, with its interval; without one where no resample differs (`!`)."""
    if not models:
        return Estimate(None)
    groups = groups_of(models)
    names, counts = _draws(groups)
    pairs = list(zip(groups, values, strict=True))
    number = np.asarray([groups.count(name) for name in names], np.float64)
    sums = np.asarray([sum(v for g, v in pairs if g == name) for name in names], np.float64)
    low, high = _interval((counts @ sums) / (counts @ number))
    value = sum(values) / len(values)
    return Estimate(value, mark="!") if low == high else Estimate(value, low, high)


def wilson(hits: int, number: int) -> tuple[float, float]:
    """Wilson's score interval of a share at 95 %."""
    value, square = hits / number, NORMAL**2
    middle = (value + square / (2 * number)) / (1 + square / number)
    spread = value * (1 - value) / number + square / (4 * number**2)
    half = NORMAL / (1 + square / number) * float(np.sqrt(spread))
    return max(0.0, middle - half), min(1.0, middle + half)


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def paired(models: Sequence[Judged], first: str = "score", second: str = "paper_score") -> Paired:
    """Bootstrap test of two scores on the same models and the same resamples.

    Models that lack either score are left out: a detector that was not run has no misses.

    Raises:
        ValueError: fewer than two groups, or no clean or no attacked model has both scores.
    """
    both = [m for m in models if getattr(m, first) is not None and getattr(m, second) is not None]
    if len({m.is_clean for m in both}) < 2 or len(set(groups_of(both))) < 2:
        raise ValueError(f"too few models with both {first} and {second}: {len(both)}")
    values = [[float(getattr(m, name)) for m in both] for name in (first, second)]
    means = [auroc_estimate(both, scores).value or 0.0 for scores in values]
    draws = auroc_draws(both, values[0]) - auroc_draws(both, values[1])
    draws = draws[~np.isnan(draws)]
    worse = (1 + int((draws <= 0).sum())) / (1 + len(draws))
    difference = Estimate(means[0] - means[1], *_interval(draws))
    return Paired(means[0], means[1], difference, worse, len(both), len(models) - len(both))
