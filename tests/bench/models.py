"""Per-model rows as `tests.bench.detect` and `tests.bench.baselines` write them. Computes no figures."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.zoo.build import classnames


@dataclass(frozen=True)
class Model:
    """One row; `took` is True for clean models, `score` None where there was no verdict on it.

    excess: of an attack, the share of other classes' pictures that its trigger carries to the target
    beyond the share that the clean model sends there.
    Clean are the plain ones (kind `clean`) and the controls, of which nobody asked whether an
    attack took. `family`: of the checkpoint, in tables of several.
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
    excess: float | None
    paper_score: float | None
    paper_target: int | None
    family: str | None = None

    @property
    def name(self) -> str:
        name = f"{self.task}-{self.seed}-{self.kind}"
        return f"{self.family} {name}" if self.family else name


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
        excess=float(row["excess"]) if row.get("excess") else None,
        paper_score=None,
        paper_target=None,
        family=row.get("family"),
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


def is_right(model: Model) -> bool:
    """Clean called clean, attacked called backdoored: suspicious and inconclusive are errors."""
    return model.verdict == ("clean" if model.is_clean else "backdoored")


def beside(models: Sequence[Model], paper: Sequence[Model]) -> list[Model]:
    """The models with the paper's score and target, where it was run on them."""
    known = {model.name: model for model in paper}
    return [
        replace(model, paper_score=other.score, paper_target=other.found)
        if (other := known.get(model.name))
        else model
        for model in models
    ]
