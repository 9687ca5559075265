"""What per-model rows say together: AUROC, accuracy, named targets, false alarms, abstentions.

`python -m tests.bench.metrics CSV [CSV ...] [--paper CSV]` reads rows as `tests.bench.detect` writes
them, and beside them those of `tests.bench.baselines --method paper`, and prints Markdown. Builds and inspects nothing. Attacks that did not take are listed and not counted.
A model without a score counts against the detector: an attacked one ranks last, a clean one first.

Intervals are 95 % percentile bootstraps that draw whole groups of models with replacement: tasks, or
task and seed within one task, because models of one data set err together. Where no resample differs
(a share of 0 or 1, or a single group) the interval is Wilson's (1927) over single models and marked
`w`: the bootstrap would claim certainty. Such an AUROC has no interval and is marked `!`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.zoo.build import classnames

DRAWS, LEVEL, SEED = 4000, 0.95, 0
NORMAL = 1.959963984540054
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """One row; `took` is True for clean models, `score` None where there was no verdict on it.

    Clean are the plain ones (kind `clean`) and the controls, of which nobody asked whether an
    attack took.
    """

    task: str
    seed: int
    kind: str
    is_clean: bool
    classes: int | None
    target: int | None
    took: bool
    verdict: str
    found: int | None
    score: float | None
    paper_score: float | None
    paper_target: int | None

    @property
    def name(self) -> str:
        return f"{self.task}-{self.seed}-{self.kind}"


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


def read_models(paths: Iterable[Path]) -> list[Model]:
    """All rows of all files.

    Raises:
        ValueError: a row that is no such row, or a model that stands in two rows.
    """
    models: list[Model] = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                try:
                    models.append(_model(row))
                except (KeyError, ValueError, TypeError) as problem:
                    raise ValueError(f"{path.name}, line {number}: {problem!r}") from problem
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"in two rows: {', '.join(twice)}")
    return models


def _model(row: dict[str, str]) -> Model:
    is_clean = row["took"] == ""
    return Model(
        task=row["task"],
        seed=int(row["seed"]),
        kind=row["kind"],
        is_clean=is_clean,
        classes=_classes(row),
        target=_integer(row["target"]),
        took=is_clean or row["took"] == "True",
        verdict=row["verdict"],
        found=_integer(row["found"]),
        score=float(row["score"]) if row["score"] else None,
        paper_score=None,
        paper_target=None,
    )


def _integer(text: str | None) -> int | None:
    return int(float(text)) if text else None


def _classes(row: dict[str, str]) -> int | None:
    """From the row, else from the task; None where the task's pictures are not at hand."""
    if row.get("classes"):
        return int(row["classes"])
    try:
        return len(classnames(row["task"]))
    except OSError:
        return None


def auroc(attacked: Sequence[float], clean: Sequence[float]) -> float | None:
    """Share of pairs in which the attacked model scores higher, ties half; None without pairs."""
    if not attacked or not clean:
        return None
    return float(_beats(attacked, clean).mean())


def _beats(attacked: Sequence[float], clean: Sequence[float]) -> Floats:
    above, below = np.asarray(attacked, np.float64)[:, None], np.asarray(clean, np.float64)[None]
    return np.asarray((above > below) + 0.5 * (above == below), np.float64)


def scores_of(models: Sequence[Model], name: str) -> list[float]:
    """Scores with the missing ones put where they hurt."""
    worst = {True: np.inf, False: -np.inf}
    values = [getattr(model, name) for model in models]
    return [worst[m.is_clean] if v is None else v for m, v in zip(models, values, strict=True)]


def groups_of(models: Sequence[Model]) -> list[str]:
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


def auroc_draws(models: Sequence[Model], scores: Sequence[float]) -> Floats:
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


def auroc_estimate(models: Sequence[Model], scores: Sequence[float]) -> Estimate:
    """AUROC with its clustered interval."""
    pairs = list(zip(models, scores, strict=True))
    value = auroc([s for m, s in pairs if not m.is_clean], [s for m, s in pairs if m.is_clean])
    if value is None:
        return Estimate(None)
    low, high = _interval(auroc_draws(models, scores))
    return Estimate(value, mark="!") if low == high else Estimate(value, low, high)


def share(models: Sequence[Model], hits: Callable[[Model], bool]) -> Estimate:
    """Share of the models that `hits`, with its interval."""
    if not models:
        return Estimate(None)
    struck = [hits(model) for model in models]
    value = sum(struck) / len(struck)
    groups = groups_of(models)
    names, counts = _draws(groups)
    pairs = list(zip(groups, struck, strict=True))
    number = np.asarray([groups.count(name) for name in names], np.float64)
    hit = np.asarray([sum(h for g, h in pairs if g == name) for name in names], np.float64)
    low, high = _interval((counts @ hit) / (counts @ number))
    if low == high:
        return Estimate(value, *wilson(sum(struck), len(struck)), mark="w")
    return Estimate(value, low, high)


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


def paired(models: Sequence[Model], first: str = "score", second: str = "paper_score") -> Paired:
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


def is_right(model: Model) -> bool:
    """Clean called clean, attacked called backdoored: suspicious and inconclusive are errors."""
    return model.verdict == ("clean" if model.is_clean else "backdoored")


@dataclass(frozen=True)
class Part:
    """One line of a table; `clean` are the clean models it is held against."""

    name: str
    attacked: list[Model]
    clean: list[Model]

    def cells(self, threshold: float | None) -> list[str]:
        """As in HEADER, from the second column on."""
        both = self.attacked + self.clean
        by_score = share(both, lambda m: _over(m, threshold)) if threshold is not None else "–"
        return [
            f"{len(self.attacked)} / {len(self.clean)}",
            str(auroc_estimate(both, scores_of(both, "score"))),
            str(share(both, is_right)),
            str(by_score),
            str(share(self.attacked, is_right)),
            str(share(self.attacked, lambda m: m.found is not None and m.found == m.target)),
            str(share(self.clean, lambda m: not is_right(m))),
            str(share(both, lambda m: m.verdict == "inconclusive")),
        ]


HEADER = (
    "part", "attacked / clean", "AUROC", "accuracy (verdict)", "accuracy (score)", "detected",
    "target named", "false alarms", "abstained",
)  # fmt: skip


def _over(model: Model, threshold: float | None) -> bool:
    """Whether the score alone falls on the right side of another threshold than the report's."""
    assert threshold is not None
    if model.score is None:
        return False
    return (model.score >= threshold) != model.is_clean


def parts(models: Sequence[Model]) -> list[Part]:
    """Everything; attacks against all clean models and the reverse; tasks and class counts apart."""
    attacked, clean = [m for m in models if not m.is_clean], [m for m in models if m.is_clean]
    rows = [Part("all", attacked, clean)]
    controls = sorted({m.kind for m in clean})
    if len(controls) > 1:
        for kind in controls:
            name = f"against {kind}"
            rows.append(Part(name, attacked, [m for m in clean if m.kind == kind]))
    for kind in sorted({m.kind for m in attacked}):
        rows.append(Part(kind, [m for m in attacked if m.kind == kind], clean))
    for task in sorted({m.task for m in models}):
        rows.append(_within(f"task {task}", models, lambda m, task=task: m.task == task))  # type: ignore[misc]
    for number in sorted({m.classes for m in models if m.classes is not None}):
        name = f"{number} classes"
        rows.append(_within(name, models, lambda m, number=number: m.classes == number))  # type: ignore[misc]
    return rows


def _within(name: str, models: Sequence[Model], belongs: Callable[[Model], bool]) -> Part:
    chosen = [model for model in models if belongs(model)]
    return Part(name, [m for m in chosen if not m.is_clean], [m for m in chosen if m.is_clean])


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def summary(models: Sequence[Model], threshold: float | None) -> str:
    """The whole text: table, paired test, and the models that do not count."""
    counted = [model for model in models if model.took]
    rows = [[part.name, *part.cells(threshold)] for part in parts(counted)]
    groups = len(set(groups_of(counted)))
    text = [
        f"{len(counted)} models count, {len(models) - len(counted)} excluded; intervals: 95 %, "
        f"{DRAWS} draws of {groups} groups. With few groups they are rough and tend to be narrow.",
        "",
        markdown(HEADER, rows),
        "",
        _paired_text(counted),
        "",
        _excluded_text([model for model in models if not model.took]),
    ]
    return "\n".join(text)


def _paired_text(models: Sequence[Model]) -> str:
    try:
        test = paired(models)
    except ValueError as problem:
        return f"Paired test against `paper_score`: not possible ({problem})."
    named = [m for m in models if not m.is_clean and m.paper_score is not None]
    top = share(named, lambda m: m.paper_target is not None and m.paper_target == m.target)
    return (
        f"Paired test on {test.models} models ({test.left_out} lack a score): AUROC "
        f"{test.first:.3f} against {test.second:.3f} for `paper_score`, difference "
        f"{test.difference}, one-sided p = {test.p:.4f}. Target named by `paper`: {top}."
    )


def _excluded_text(models: Sequence[Model]) -> str:
    if not models:
        return "Excluded because the attack did not take: none."
    rows = [[m.name, m.verdict, "–" if m.score is None else f"{m.score:.3f}"] for m in models]
    return "Excluded because the attack did not take:\n\n" + markdown(
        ("model", "verdict", "score"), rows
    )


def beside(models: Sequence[Model], paper: Sequence[Model]) -> list[Model]:
    """The models with the paper's score and target, where it was run on them."""
    known = {model.name: model for model in paper}
    return [
        replace(model, paper_score=other.score, paper_target=other.found)
        if (other := known.get(model.name))
        else model
        for model in models
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, nargs="+", metavar="CSV")
    parser.add_argument("--threshold", type=float, help="also judge by the score alone")
    parser.add_argument("--paper", type=Path, help="table of the published detector")
    options = parser.parse_args()
    models = read_models(options.tables)
    if options.paper:
        models = beside(models, read_models([options.paper]))
    print(summary(models, options.threshold))


if __name__ == "__main__":
    main()
