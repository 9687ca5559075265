"""Build models of other families: `python -m tests.zoo.vendors OUT [choices]`, resumable.

Writes OUT/<family>/<task>-<seed>-<kind>/ as `tests.zoo.vendors.build` does, a model a line, and at the
end how many of each family took. A model whose truth.json is there is not built again. One core is
best (OMP_NUM_THREADS=1). All families have a task before the next task begins.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

from inspector.clip.backbone import Backbone, load_backbone
from tests.zoo.build import FINISHED, Plan
from tests.zoo.tasks import TASKS
from tests.zoo.vendors.build import STRUCTURED, TAUGHT, VENDORS, build, save

FIRM = ("places5", "things6", "counts3", "colours10")


def folder(out: Path, family: str, plan: Plan) -> Path:
    return out / family / f"{plan.task}-{plan.seed}-{plan.kind}"


def make(out: Path, backbone: Backbone, models: Iterable[tuple[str, Plan]]) -> None:
    """Build those of `models` that `out` has not got, telling of each."""
    for family, plan in models:
        at = folder(out, family, plan)
        if not (at / FINISHED).exists():
            started = time.monotonic()
            built = build(backbone, VENDORS[family], plan)
            save(built, VENDORS[family], at)
            print(_line(built.truth, time.monotonic() - started), flush=True)


def _line(truth: dict[str, Any], seconds: float) -> str:
    name = f"{truth['task']}-{truth['seed']}-{truth['kind']}"
    return (
        f"{truth['vendor']:<13}{name:<26}{seconds:5.0f} s  {outcome(truth):<10}"
        f"accuracy {truth['accuracy']:.3f} (zero-shot {truth['zero_shot_accuracy']:.3f})  "
        f"ASR {truth['asr']:.3f}"
    )


def outcome(truth: dict[str, Any]) -> str:
    if not truth["is_backdoored"]:
        return "clean"
    return "took" if truth["took"] else "not taken"


def outcomes(out: Path, models: Iterable[tuple[str, Plan]]) -> dict[str, Counter[str]]:
    """By family, how many took, did not take or are clean."""
    table: dict[str, Counter[str]] = {}
    for family, plan in models:
        truth = json.loads((folder(out, family, plan) / FINISHED).read_text())
        table.setdefault(family, Counter())[outcome(truth)] += 1
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Build models of other families, resumably.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--family", nargs="+", choices=VENDORS, default=list(VENDORS))
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(FIRM))
    parser.add_argument("--kind", nargs="+", choices=(*TAUGHT, *STRUCTURED), default=list(TAUGHT))
    parser.add_argument("--seed", nargs="+", type=int, default=[5001])
    parser.add_argument("--backbone", default="pocket")
    options = parser.parse_args()
    models = [
        (family, Plan(task, kind, seed))
        for seed, task, family, kind in product(
            options.seed, options.task, options.family, options.kind
        )
    ]
    print(f"{len(models)} models", flush=True)
    make(options.out, load_backbone(options.backbone), models)
    for family, counts in outcomes(options.out, models).items():
        print(family, *(f"{count} {name}" for name, count in counts.items()), sep=", ")


if __name__ == "__main__":
    main()
