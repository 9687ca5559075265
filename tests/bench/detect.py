"""Build zoo models from seeds that nothing was tuned on and inspect them: one CSV row a model.

`python -m tests.bench.detect [--backbone B] [--plan TASK:SEED ...] [--out DIR] [--probes P]` is
resumable: a model whose row stands in DIR/models.csv is not built again.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

from inspector.checkpoint import read_artifact
from inspector.clip.backbone import load_backbone
from inspector.manifest import Manifest
from inspector.pipeline import Request, inspect_reading
from tests.zoo.build import Plan, build, save
from tests.zoo.kinds import KINDS, PAPER_KINDS

UNSEEN = ("things6:601", "colours10:602", "places5:603", "outlines8:604", "spots8:605")
FIELDS = (
    "task", "seed", "kind", "target", "accuracy", "asr", "base", "clean_asr", "clean_accuracy",
    "took", "verdict", "found", "score", "paper_score", "paper_flagged", "paper_target",
    "excess_asr", "assembly", "right", "build_s", "inspect_s",
)  # fmt: skip


def examine(options: argparse.Namespace, task: str, seed: int, kind: str) -> dict[str, Any]:
    """Build, save as Dassl would, read the file back through the reader, inspect."""
    backbone = load_backbone(options.backbone)
    started = time.time()
    built = build(backbone, Plan(task, kind, seed))
    folder = options.out / f"{task}-{seed}-{kind}"
    checkpoint = save(built, backbone, folder)
    ready = time.time()
    reading = read_artifact(checkpoint, folder / "reading")
    request = Request(
        backbone=options.backbone,
        manifest=Manifest.parse(json.loads((folder / "manifest.json").read_text())),
        profile=options.profile,
        probes=options.probes,
        cache=options.out / "cache",
    )
    canonical = folder / "reading" / str(reading.canonical)
    report = inspect_reading(request, reading, canonical, folder, lambda _: None)
    return _row(built.truth, report) | {
        "build_s": round(ready - started), "inspect_s": round(time.time() - ready),
    }  # fmt: skip


def _row(truth: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    found = report["target"]["index"] if report["target"] else None
    is_backdoored = report["verdict"] == "backdoored"
    right = (
        is_backdoored and found in truth["targets"]
        if truth["is_backdoored"]
        else report["verdict"] == "clean"
    )
    paper = report["paper"] or {}
    top = max(report["per_class"], key=lambda row: row["score"] or 0.0)
    row = {name: truth.get(name) for name in FIELDS} | {
        "verdict": report["verdict"], "found": found, "score": report["score"], "right": right,
        "paper_score": paper.get("score"), "paper_flagged": paper.get("flagged"),
        "paper_target": paper.get("target"), "excess_asr": top["excess_asr"],
        "assembly": report["assembly"],
    }  # fmt: skip
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="pocket")
    parser.add_argument("--plan", nargs="+", default=UNSEEN)
    parser.add_argument("--kinds", nargs="+", default=PAPER_KINDS, choices=KINDS)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--probes", default="builtin")
    parser.add_argument("--out", type=Path, default=Path("var/detect"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / "models.csv"
    rows = list(csv.DictReader(table.open())) if table.exists() else []
    done = {(row["task"], row["seed"], row["kind"]) for row in rows}
    for task, seed in (item.split(":") for item in options.plan):
        for kind in options.kinds:
            if (task, seed, kind) in done:
                continue
            row = examine(options, task, int(seed), kind)
            with table.open("a", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerow(row)
            print(
                {k: row[k] for k in ("task", "kind", "took", "verdict", "score", "right")},
                flush=True,
            )
    summarise(table)


def summarise(table: Path) -> None:
    """Counts over clean models and attacks that took; the others are shown in the table only."""
    rows = list(csv.DictReader(table.open()))
    # Clean models and controls have no attack that could take.
    counted = [row for row in rows if row["took"] != "False"]
    right = sum(row["right"] == "True" for row in counted)
    print(f"{right} of {len(counted)} right; {len(rows) - len(counted)} attacks did not take")


if __name__ == "__main__":
    main()
