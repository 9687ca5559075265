"""Other rules on models that were inspected: what they would have scored, from the reports.

`python -m tests.bench.replay OUT [OUT ...]` reads what `tests.bench.detect` left there (profile standard):
models with a meta-net and more than five classes, attacks that took and clean ones. For every way to
weigh a trigger's effect it prints the AUROC and how many attacks score above all clean models but
three. A family's unit is what one clean model in twenty of the other tasks exceeds, so no model sets
its own; a family that says nothing on any of these is left out; the clean prediction bias counts as in the rule. Decides nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from inspector.detection.effects import NO_EFFECT, Effect
from inspector.detection.rule import current
from inspector.detection.score import beyond_chance, bias_in_units, evidence
from tests.bench.estimates import auroc
from tests.bench.metrics import markdown

Weigh = Callable[[Effect], float]
WEIGHTS: dict[str, Weigh] = {
    "asr_gain, text_feature_shift and prob_gain": evidence,
    "prob_gain": lambda effect: effect.prob_gain,
    "asr_gain": lambda effect: effect.asr_gain,
    "text_feature_shift": lambda effect: effect.text_feature_shift,
}
RARE, SPARED = 0.95, 3
SEARCHED = {"own": "own_trigger", "others": "other_triggers"}
"""Families of triggers that were searched for, by their key in a report."""


@dataclass(frozen=True)
class Inspected:
    """One model: by family the effects on every class, and the clean prediction bias in its units."""

    task: str
    is_clean: bool
    effects: dict[str, list[Effect]]
    bias: list[float]


def read(folder: Path) -> list[Inspected]:
    """The models of one run that count, have more than five classes and prompts that read pictures."""
    with (folder / "standard.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["took"] != "False"]
    found = []
    for row in rows:
        name = f"{row['task']}-{row['seed']}-{row['kind']}.json"
        classes = json.loads((folder / "standard" / name).read_text())["per_class"]
        if len(classes) > current().several_classes and any(
            effect["text_feature_shift"] for effect in classes[0]["random_triggers"].values()
        ):
            found.append(_inspected(row["task"], row["took"] == "", classes))
    return found


def _inspected(task: str, is_clean: bool, classes: Sequence[dict[str, Any]]) -> Inspected:
    nothing = NO_EFFECT.to_json()
    effects = {
        name: [Effect(**(one[key] or nothing)) for one in classes] for name, key in SEARCHED.items()
    }
    for family in classes[0]["random_triggers"]:
        effects[family] = [Effect(**one["random_triggers"][family]) for one in classes]
    bias = bias_in_units([one["clean_prediction_bias"] for one in classes])
    return Inspected(task, is_clean, effects, bias)


def scores(models: Sequence[Inspected], weigh: Weigh) -> list[float]:
    """Of every model, in units that its own task had no part in."""
    leads = [
        {family: beyond_chance([weigh(one) for one in each]) for family, each in m.effects.items()}
        for m in models
    ]
    scored = []
    for model, own in zip(models, leads, strict=True):
        others = [
            of for other, of in zip(models, leads, strict=True)
            if other.is_clean and other.task != model.task
        ]  # fmt: skip
        units = {family: _unit(others, family) for family in own}
        in_units = [
            [x / units[name] for x in each] for name, each in own.items() if units[name] > 0
        ]
        loudest = [
            fmean(sorted(of_class)[-current().top_families :])
            for of_class in zip(*in_units, strict=True)
        ]
        loudest = loudest or [0.0] * len(model.bias)
        scored.append(max(map(sum, zip(loudest, model.bias, strict=True))))
    return scored


def _unit(clean: Sequence[dict[str, list[float]]], family: str) -> float:
    """0 where none of them was asked for this family."""
    return float(np.quantile([max(one[family]) for one in clean if family in one] or [0.0], RARE))


def row(models: Sequence[Inspected], name: str, weigh: Weigh) -> list[str]:
    """Name, AUROC, and attacks above all clean models but SPARED."""
    scored = list(zip(models, scores(models, weigh), strict=True))
    attacked = [score for model, score in scored if not model.is_clean]
    clean = sorted(score for model, score in scored if model.is_clean)
    above = sum(score > clean[-1 - SPARED] for score in attacked)
    return [name, f"{auroc(attacked, clean):.3f}", f"{above} of {len(attacked)}"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="OUT")
    models = [model for at in parser.parse_args(arguments).folders for model in read(at)]
    clean = sum(model.is_clean for model in models)
    if not SPARED < clean < len(models):
        parser.error(f"too few models: {len(models) - clean} attacked, {clean} clean")
    print(f"{len(models) - clean} attacked and {clean} clean models\n")
    header = ("weighed by", "AUROC", f"attacks above all clean but {SPARED}")
    print(markdown(header, [row(models, name, weigh) for name, weigh in WEIGHTS.items()]))


if __name__ == "__main__":
    main()
