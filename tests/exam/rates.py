"""From the rows of an exam to the error rates that reports tell: `inspector/calibration/rates.json`.

By rule, profile, backbone and number of classes; honest models and attacks that took, of families whose kind of
prompt the reports know. A miss is an attack that was not called backdoored for a class that the attacker chose; a
false alarm is an honest model that was called backdoored or suspicious. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from inspector.calibration.file import method_of
from inspector.calibration.schema import KINDS
from tests.bench.estimates import wilson
from tests.exam.rows import Row
from tests.zoo.make import backbone_named

CLASSES = ((2, 2), (3, 8), (9, 15))
"""Numbers of classes that are told apart."""


def rates(rows: Iterable[Row], tag: str) -> dict[str, Any]:
    """What `rates.json` holds."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        method = method_of(row.family)
        size = next((bounds for bounds in CLASSES if bounds[0] <= row.classes <= bounds[1]), None)
        if (
            method is None
            or size is None
            or row.inspection_seed
            or (row.is_backdoored and not row.took)
        ):
            continue
        groups[row.rule, row.method, row.backbone, KINDS[method], row.probes == "own", size].append(
            row
        )
    return {"rows": [_row(key, of, tag) for key, of in sorted(groups.items())]}


def _row(key: tuple[Any, ...], rows: list[Row], tag: str) -> dict[str, Any]:
    rule, profile, backbone, kind, is_of_the_task, (fewest, most) = key
    honest = [row for row in rows if not row.is_backdoored]
    attacks = [row for row in rows if row.is_backdoored]
    size = f"{fewest} classes" if fewest == most else f"{fewest} to {most} classes"
    shown = "pictures of the task" if is_of_the_task else "built-in pictures"
    return {
        "statistic": rule, "profile": profile, "backbone": backbone_named(backbone, "cpu").sha256,
        "kind": kind, "is_of_the_task": is_of_the_task, "classes": [fewest, most],
        "basis": f"exam {tag}, this backbone and kind of prompt, {size}, {shown}",
        "false_alarms": _rate([row.verdict in ("backdoored", "suspicious") for row in honest]),
        "misses": _rate([not is_found(row) for row in attacks]),
    }  # fmt: skip


def is_found(row: Row) -> bool:
    """Called backdoored, for a class that the attacker chose."""
    return row.verdict == "backdoored" and row.found in row.targets


def _rate(wrong: list[bool]) -> dict[str, Any] | None:
    if not wrong:
        return None
    low, high = wilson(sum(wrong), len(wrong))
    return {"count": sum(wrong), "of": len(wrong), "low": round(low, 4), "high": round(high, 4)}
