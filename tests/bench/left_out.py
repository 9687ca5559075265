"""Leave one data set out: units and threshold from the other tasks' clean models, judged on its own.

`python -m tests.bench.left_out TABLE.csv [TABLE.csv ...]` reads tables of `tests.bench.detect` with the
reports beside them, of prompts that read the picture, inspected with pictures of the task. For every
task a family's unit becomes the lead that one clean model in twenty of the *other* tasks exceeds, and
the threshold the score that the rule's own share of these exceeds (experiment 50); with these the task's
models are judged. It prints how many attacks that took are found, for the right class, and how many
clean models are accused, by task. Inconclusive models are missed or accused as they are in the table.
A rescored model had the sweeps that the rule as it is gave it. Decides nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from inspector.detection.effects import NO_EFFECT, Effect
from inspector.detection.rule import current
from inspector.detection.score import beyond_chance, evidence
from tests.bench.metrics import markdown
from tests.bench.replay import SEARCHED

RARE = 0.95
ACCUSED = 3 / 253
"""Share of clean models above the threshold when it was set; experiment 50."""
Leads = dict[str, list[float]]


@dataclass(frozen=True)
class Inspected:
    """`leads` by family of triggers and class; `targets` is empty for clean models."""

    task: str
    targets: frozenset[int]
    is_inconclusive: bool
    leads: Leads


@dataclass(frozen=True)
class Bar:
    """What other tasks' clean models say is much: by family, and of all together."""

    units: dict[str, float]
    threshold: float


def read(table: Path) -> list[Inspected]:
    """Models of a table that count; their reports lie in the folder of the table's name."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["took"] != "False"]
    found = []
    for row in rows:
        name = f"{row['task']}-{row['seed']}-{row['kind']}.json"
        report = json.loads((table.with_suffix("") / name).read_text())
        targets = frozenset(map(int, row["targets"].split()))
        inconclusive = row["verdict"] == "inconclusive"
        found.append(Inspected(row["task"], targets, inconclusive, _leads(report["per_class"])))
    return found


def _leads(classes: Sequence[dict[str, Any]]) -> Leads:
    families = classes[0]["random_triggers"]
    effects = {name: [one["random_triggers"][name] for one in classes] for name in families}
    if any(one["own_trigger"] for one in classes):
        nothing = NO_EFFECT.to_json()
        effects |= {
            name: [one[key] or nothing for one in classes] for name, key in SEARCHED.items()
        }
    return {
        name: beyond_chance([evidence(Effect(**one)) for one in of_class])
        for name, of_class in effects.items()
    }


def scores(leads: Leads, units: dict[str, float]) -> list[float]:
    """By class, the mean of its loudest families, of those that ever led on a clean model."""
    in_units = [
        [x / units[name] for x in of_class] for name, of_class in leads.items() if units[name] > 0
    ]
    return [fmean(sorted(one)[-current().top_families :]) for one in zip(*in_units, strict=True)]


def bar_from(clean: Sequence[Inspected]) -> Bar:
    """Units and threshold from these clean models alone."""
    names = {name for model in clean for name in model.leads}
    units = {
        name: float(np.quantile([max(m.leads[name]) for m in clean if name in m.leads], RARE))
        for name in names
    }
    tops = [max(scores(model.leads, units)) for model in clean]
    return Bar(units, float(np.quantile(tops, 1 - ACCUSED)))


def is_right(model: Inspected, bar: Bar) -> bool:
    """Attacked: accused for a class of its targets. Clean: not accused. Inconclusive ones are wrong."""
    of_class = scores(model.leads, bar.units)
    top = max(range(len(of_class)), key=of_class.__getitem__)
    accused = of_class[top] >= bar.threshold
    right = (accused and top in model.targets) if model.targets else not accused
    return right and not model.is_inconclusive


def rows(models: Sequence[Inspected]) -> list[list[str]]:
    """A task a line: name, threshold, attacks found, clean models accused; then all together."""
    lines, everything = [], []
    for task in sorted({model.task for model in models}):
        bar = bar_from([m for m in models if m.task != task and not m.targets])
        mine = [(model, is_right(model, bar)) for model in models if model.task == task]
        lines.append([task, f"{bar.threshold:.2f}", *_counts(mine)])
        everything += mine
    return [*lines, ["all", "", *_counts(everything)]]


def _counts(judged: Sequence[tuple[Inspected, bool]]) -> tuple[str, str]:
    """Attacks found and clean models accused, of how many."""
    hits = [right for model, right in judged if model.targets]
    errors = [not right for model, right in judged if not model.targets]
    return f"{sum(hits)} of {len(hits)}", f"{sum(errors)} of {len(errors)}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, nargs="+", metavar="TABLE.csv")
    models = [model for at in parser.parse_args(arguments).tables for model in read(at)]
    if len({model.task for model in models if not model.targets}) < 2:
        parser.error("clean models of at least two tasks are needed")
    print(markdown(("task", "threshold", "found", "accused"), rows(models)))


if __name__ == "__main__":
    main()
