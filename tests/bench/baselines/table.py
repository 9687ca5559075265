"""Rows of baselines, one CSV a method and variant, and what they say together.

A CSV is also what `python -m tests.bench.metrics` reads. It holds each class's statistic and success
besides, so that another rule can be tried on the same searches.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from inspector.clip.classifier import Classifier, Work
from inspector.detection.published_test import PUBLISHED_SUCCESS, PUBLISHED_THRESHOLD, one_sided_mad
from inspector.run.flops import operations
from tests.bench.baselines.common import Result
from tests.bench.baselines.zoo import ZooModel
from tests.bench.estimates import auroc_estimate, scores_of, share
from tests.bench.metrics import markdown
from tests.bench.models import Model, is_right, read_models

WORK = tuple(vars(Work()))
FIELDS = (
    "task", "seed", "kind", "classes", "took", "target", "targets", "score", "verdict", "flagged", "found",
    "top", "target_top1", "seconds", *WORK, "flops", "scale", "images", "values", "success",
)  # fmt: skip
HEADER = (
    "method", "attacked / clean", "AUROC", "accuracy", "detected", "false alarms", "target top-1",
    "seconds", "GFLOP", "scale",
)  # fmt: skip

Row = dict[str, str]


def row_of(
    model: ZooModel,
    classifier: Classifier,
    result: Result,
    seconds: float,
    scale: float,
    images: int,
) -> dict[str, Any]:
    """What is written of one run; the classifier has spent what the run cost."""
    truth, targets = model.truth, model.targets
    return {
        **{name: truth.get(name) for name in ("task", "seed", "kind", "took", "target")},
        "targets": " ".join(map(str, targets)),
        "classes": len(classifier.classnames),
        "score": f"{result.score:.6g}",
        "verdict": "backdoored" if result.flagged else "clean",
        "flagged": result.flagged,
        "found": result.accused if result.flagged else None,
        "top": result.accused,
        "target_top1": result.accused in targets if targets else None,
        "seconds": f"{seconds:.2f}",
        **asdict(classifier.work),
        "flops": operations(classifier, classifier.work),
        "scale": scale,
        "images": images,
        "values": " ".join(f"{value:.6g}" for value in result.values),
        "success": " ".join(f"{value:.4f}" for value in result.success),
    }


def read(path: Path) -> list[Row]:
    """The rows of a file, none where it is not there yet."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: dict[str, Any]) -> None:
    """Add one row, and the header to a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def key_of(row: Row) -> tuple[str, str, str]:
    return row["task"], row["seed"], row["kind"]


def summary(paths: Sequence[Path]) -> str:
    """One line a file, without attacks that did not take; below, what the targets' triggers do.

    The paper has a second line. Its score is that of the class that stands out most, and nothing is
    flagged where that class's trigger is invalid; in the second line the others take its place.
    """
    lines = [line for path in paths for line in _lines(path)]
    ablation = [line for path in paths if (line := _success_line(path)) is not None]
    text = markdown(HEADER, lines)
    if ablation:
        header = ("method", "success of the target's trigger", "of the others' best", "mean")
        text += "\n\n" + markdown(header, ablation)
    return text


def _lines(path: Path) -> list[list[str]]:
    pairs = zip(read_models([path]), read(path), strict=True)
    counted = [(model, row) for model, row in pairs if model.took]
    models, rows = [model for model, _ in counted], [row for _, row in counted]
    lines = [_line(path.stem, models, rows)]
    if path.stem.startswith("paper"):
        gates = [gated(row) for row in rows]
        judged = [
            replace(
                model, score=score, verdict="backdoored" if score > PUBLISHED_THRESHOLD else "clean"
            )
            for model, (score, _) in zip(models, gates, strict=True)
        ]
        tops = [
            row | {"target_top1": str(str(top) in row["targets"].split())}
            for row, (_, top) in zip(rows, gates, strict=True)
        ]
        lines.append(_line(f"{path.stem}, valid triggers only", judged, tops))
    return lines


def _line(name: str, models: list[Model], rows: list[Row]) -> list[str]:
    attacked = [model for model in models if not model.is_clean]
    clean = [model for model in models if model.is_clean]
    hits = {key_of(row): row["target_top1"] == "True" for row in rows}
    named = share(attacked, lambda model: hits[model.task, str(model.seed), model.kind])
    scales = sorted({row["scale"] for row in rows})
    return [
        name,
        f"{len(attacked)} / {len(clean)}",
        str(auroc_estimate(models, scores_of(models, "score"))),
        str(share(models, is_right)),
        str(share(attacked, is_right)),
        str(share(clean, lambda model: not is_right(model))),
        str(named),
        f"{median(float(row['seconds']) for row in rows):.1f}" if rows else "–",
        f"{median(int(row['flops']) for row in rows) / 1e9:.1f}" if rows else "–",
        ", ".join(scales),
    ]


def gated(row: Row) -> tuple[float, int | None]:
    """The largest robust score among classes whose trigger is valid, and the class; 0 without one."""
    success = [float(value) for value in row["success"].split()]
    scores = one_sided_mad([float(value) for value in row["values"].split()])
    valid = [index for index, rate in enumerate(success) if rate >= PUBLISHED_SUCCESS]
    best = max(valid, key=scores.__getitem__, default=None)
    return (0.0, None) if best is None else (max(0.0, scores[best]), best)


def _success_line(path: Path) -> list[str] | None:
    """Mean success of the true target's trigger over attacked models, and of all other classes'."""
    own, best, others = [], [], []
    for row in read(path):
        rates = [float(value) for value in row["success"].split()]
        if row["took"] != "True" or len(rates) < 2:
            continue
        rest = rates[: int(row["target"])] + rates[int(row["target"]) + 1 :]
        own.append(rates[int(row["target"])])
        best.append(max(rest))
        others += rest
    if not own:
        return None
    return [path.stem, *(f"{sum(part) / len(part):.3f}" for part in (own, best, others))]
