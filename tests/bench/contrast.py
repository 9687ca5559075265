"""Search zoo models by contrast: a CSV row a trigger that was found, resumable a model at a time.

`python -m tests.bench.contrast FOLDER [FOLDER ...] --out FILE.csv [--backbone B] [--probes own|builtin]
[--seed S] [--pictures DIR]` reads models as `tests.zoo.make` leaves them, through the product's reader.
`python -m tests.bench.contrast --table FILE.csv [FILE.csv ...]` prints how attacks that took stand to honest models.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.detection.pools import Pools
from inspector.detection.reading import Found
from inspector.detection.testing import search_of
from inspector.detection.twin_test import TwinTest, thresholds_of
from inspector.probes.procedural import procedural_probes
from inspector.profiles import TwinBudget, radius
from inspector.progress import Meter
from tests.support.assembling import delivered
from tests.zoo.build import FINISHED
from tests.zoo.make import backbone_named
from tests.zoo.pictures import pictures

NUMBER, HELD_OUT = 1250, 250
"""Pictures of a task, and how many of them are held out."""
MODEL = ("task", "seed", "kind", "is_backdoored", "took", "target", "targets", "excess", "accuracy")
"""Columns that the model's truth.json fills."""
TRIGGER = ("class", "space", "value", "carried", "strayed", "own", "kept", "linf", "l2")
"""Columns of one trigger, of its own class: see `inspector.detection.excess.Excess`."""
FIELDS = (
    *MODEL, "classes", "probes", "inspection_seed", "score", "accused", "agreement", "seconds", "reading", *TRIGGER,
)  # fmt: skip
Row = dict[str, Any]


def examine(folder: Path, backbone: Backbone, pools: Pools, probes: str, seed: int) -> list[Row]:
    """One model's rows."""
    truth = json.loads((folder / FINISHED).read_text())
    classifier = delivered(folder, backbone)
    search = search_of(TwinBudget(), radius(backbone.image_size, backbone.sha256))
    test = TwinTest(
        classifier, pools, search, seed, thresholds_of(None, len(classifier.classnames))
    )
    started = time.perf_counter()
    judgement = test.run(list(range(len(classifier.classnames))), Meter(lambda _: None, None))
    known = {name: truth.get(name) for name in MODEL} | {
        "targets": " ".join(map(str, truth.get("targets") or ())),
        "classes": len(classifier.classnames),
        "probes": probes,
        "inspection_seed": seed,
        "score": round(judgement.score, 4),
        "accused": test.ranked(judgement)[0],
        "agreement": round(test.sweeps[0].search.agreement, 4),
        "seconds": round(time.perf_counter() - started, 1),
    }
    held_out = pools.held_out[: search.num_eval]
    return [
        known | {"reading": number} | _trigger(one, held_out)
        for number, reading in enumerate(test.sweeps)
        for one in reading.search.found
    ]


def _trigger(found: Found, pixels: Tensor) -> Row:
    changed = found.space.apply(found.member, pixels) - pixels
    return {
        "class": found.target,
        "space": found.space.name,
        "value": round(found.value, 4),
        "carried": round(float(found.excess.carried[found.target]), 4),
        "strayed": round(float(found.excess.strayed[found.target]), 4),
        "own": round(float(found.excess.own[found.target]), 4),
        "kept": round(float(found.excess.kept[found.target]), 4),
        "linf": round(float(changed.abs().max()), 4),
        "l2": round(float(changed.flatten(1).norm(dim=1).mean()), 3),
    }


def pools(task: str, backbone: Backbone, probes: str) -> Pools:
    """Pictures of the task, or built-in ones."""
    size = backbone.image_size
    shown = procedural_probes(NUMBER, size) if probes == "builtin" else pictures(task, NUMBER, size)
    held_out = min(HELD_OUT, len(shown) // 3)
    return Pools(shown[held_out:], shown[:held_out], probes != "builtin")


def run(options: argparse.Namespace) -> None:
    backbone = backbone_named(options.backbone, "cpu")
    done = {_name(row) for row in rows_in([options.out])} if options.out.exists() else set()
    known: tuple[str, Pools] | None = None
    for folder in options.folders:
        if folder.name in done or not (folder / FINISHED).exists():
            continue
        task = json.loads((folder / FINISHED).read_text())["task"]
        if known is None or known[0] != task:
            known = task, pools(task, backbone, options.probes)
        found = examine(folder, backbone, known[1], options.probes, options.seed)
        append(options.out, found)
        first = found[0]
        print(f"{folder.name:<36} {_truth(first):<13} class {first['accused']} of {first['targets'] or '–'}: "
              f"{first['score']:.2f}  {first['seconds']} s", flush=True)  # fmt: skip


def append(table: Path, rows: Sequence[Row]) -> None:
    """Add a model's rows in one write, and to a new table the header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    if not table.exists():
        writer.writeheader()
    writer.writerows(rows)
    with table.open("a", encoding="utf-8") as file:
        file.write(text.getvalue())


def rows_in(paths: Iterable[Path]) -> list[Row]:
    """Rows of all files; numbers as such."""
    found: list[Row] = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            found += list(csv.DictReader(file))
    return found


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['task']}-{row['seed']}-{row['kind']}"


def _truth(row: Mapping[str, Any]) -> str:
    if str(row["is_backdoored"]) == "False":
        return "honest"
    return "took" if str(row["took"]) == "True" else "did not take"


def table(paths: Sequence[Path]) -> None:
    """How attacks that took stand to honest models, and the models that stand out among each."""
    models = list({(_name(row), row["inspection_seed"]): row for row in rows_in(paths)}.values())
    honest = [row for row in models if _truth(row) == "honest"]
    taken = [row for row in models if _truth(row) == "took"]
    null, found = [_score(row) for row in honest], [_score(row) for row in taken]
    pairs = [(value > other) + 0.5 * (value == other) for value in found for other in null]
    print(f"{len(honest)} honest models, {len(taken)} attacks that took: "
          f"AUROC {fmean(pairs) if pairs else float('nan'):.3f}")  # fmt: skip
    for allowed in (0.0, 0.02, 0.05):
        bar = sorted(null, reverse=True)[int(allowed * (len(null) + 1))] if null else 0.0
        named = [
            row for row in taken if _score(row) > bar and row["accused"] in row["targets"].split()
        ]
        print(f"above all but {allowed:.0%} of them ({bar:.3f}): {len(named)} named")
    for what, rows, sign in (("highest honest", honest, -1), ("lowest attacks", taken, 1)):
        print(
            what,
            *(
                f"{_name(row)} {_score(row):.2f}"
                for row in sorted(rows, key=lambda row: sign * _score(row))[:12]
            ),
        )


def _score(row: Mapping[str, Any]) -> float:
    return float(row["score"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Search zoo models by contrast.")
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--backbone", default="pocket")
    parser.add_argument("--probes", choices=("own", "builtin"), default="own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE")
    options = parser.parse_args(arguments)
    if options.table:
        return table(options.table)
    if options.out is None or not options.folders:
        parser.error("give FOLDER ... --out FILE.csv, or --table FILE.csv")
    return run(options)


if __name__ == "__main__":
    main()
