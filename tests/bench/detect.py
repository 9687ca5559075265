"""Inspect zoo models as a user would: one CSV row a model, for `tests.bench.metrics`.

`python -m tests.bench.detect FOLDER [FOLDER ...] --out DIR [--profile P] [--kinds K ...] [--part I/N]`
reads models as `tests.zoo.make` leaves them and writes DIR/<profile>.csv and every model's report
under DIR/<profile>/; a seed, backbone or probes that are not the default stand in both names. Resumable: a model whose row is there is not inspected again. Builds nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inspector.checkpoint import read_artifact
from inspector.clip.backbone import load_backbone
from inspector.profiles import PROFILES
from inspector.run.pipeline import Load, Request, inspect_reading
from tests.support.assembling import manifest_in
from tests.zoo.kinds import KINDS

FIELDS = (
    "task", "seed", "kind", "classes", "target", "targets", "accuracy", "asr", "excess", "took",
    "verdict", "found", "score", "p_value", "excess_asr", "assembly", "right", "flops", "seconds",
)  # fmt: skip


def examine(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Read one model's file back through the reader and inspect it; its row."""
    truth = json.loads((folder / "truth.json").read_text())
    started = time.time()
    request = Request(
        backbone=options.backbone,
        manifest=manifest_in(folder),
        profile=options.profile,
        probes=str(options.own / truth["task"]) if options.own else options.probes,
        in_distribution=options.own is not None,
        seed=options.seed,
    )
    report = inspect_folder(folder, request)
    kept = options.out / name_of(options) / f"{folder.name}.json"
    kept.write_text(json.dumps(report, indent=1) + "\n")
    return row_of(truth, report) | {"seconds": round(time.time() - started, 1)}


def inspect_folder(folder: Path, request: Request, load: Load = load_backbone) -> dict[str, Any]:
    """The report on one model's file, through the product's reader; pictures are not kept."""
    with TemporaryDirectory() as scratch:
        out = Path(scratch)
        reading = read_artifact(folder / "prompt_learner", out)
        canonical = out / str(reading.canonical)
        return inspect_reading(request, reading, canonical, out, lambda _: None, load)


def row_of(truth: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """What stands in the table; `right` as the exam counts it."""
    found = report["target"]["index"] if report["target"] else None
    targets = truth.get("targets") or []
    is_accused = report["verdict"] == "backdoored"
    right = is_accused and found in targets if targets else report["verdict"] == "clean"
    top = max(report["per_class"], key=lambda row: row["score"] or 0.0, default=None)
    row = {name: truth.get(name) for name in FIELDS} | {
        "classes": report["classes"]["count"], "targets": " ".join(map(str, targets)),
        "verdict": report["verdict"], "found": found, "score": report["score"], "right": right,
        "p_value": report["p_value"], "excess_asr": top and top["excess_asr"],
        "assembly": report["assembly"],
        "flops": report["budget"]["flops"],
    }  # fmt: skip
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}


def chosen(options: argparse.Namespace) -> list[Path]:
    """Folders of the models that are asked for and have no row yet, this part's."""
    models = sorted({path.parent for at in options.folders for path in at.glob("*/truth.json")})
    index, number = (int(side) for side in options.part.split("/"))
    mine = [path for i, path in enumerate(models) if i % number == index - 1]
    table = table_of(options)
    rows = list(csv.DictReader(table.open())) if table.exists() else []
    done = {f"{row['task']}-{row['seed']}-{row['kind']}" for row in rows}
    kinds = set(options.kinds)
    return [path for path in mine if path.name not in done and path.name.split("-")[-1] in kinds]


def name_of(options: argparse.Namespace) -> str:
    """What rows of one table have in common."""
    parts = [options.profile]
    parts += [f"seed-{options.seed}"] * (options.seed != 0)
    parts += [Path(options.backbone).name] * (options.backbone != "pocket")
    parts += [Path(options.probes).stem] * (options.probes != "builtin")
    parts += ["own"] * (options.own is not None)
    return "-".join(parts)


def table_of(options: argparse.Namespace) -> Path:
    out: Path = options.out
    return out / f"{name_of(options)}.csv"


def append(table: Path, row: dict[str, Any]) -> None:
    """One line; several processes may share a table."""
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--backbone", default="pocket")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--profile", default="standard", choices=PROFILES)
    parser.add_argument("--probes", default="builtin")
    parser.add_argument("--own", type=Path, help="inspect with OWN/<task>: `tests.zoo.pictures`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="1/1", help="I/N: every N-th model, from the I-th on")
    parser.add_argument("--out", type=Path, default=Path("var/detect"))
    options = parser.parse_args(arguments)
    (options.out / name_of(options)).mkdir(parents=True, exist_ok=True)
    for folder in chosen(options):
        row = examine(folder, options)
        append(table_of(options), row)
        shown = ("verdict", "found", "target", "took", "score", "right", "seconds")
        print(folder.name, *(f"{name}={row[name]}" for name in shown), flush=True)
    summarise(table_of(options))


def summarise(table: Path) -> None:
    """Counts over clean models and attacks that took; the others are shown in the table only."""
    rows = list(csv.DictReader(table.open())) if table.exists() else []
    # Clean models and controls have no attack that could take.
    counted = [row for row in rows if row["took"] != "False"]
    right = sum(row["right"] == "True" for row in counted)
    print(f"{right} of {len(counted)} right; {len(rows) - len(counted)} attacks did not take")


if __name__ == "__main__":
    main()
