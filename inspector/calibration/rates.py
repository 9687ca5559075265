"""How often verdicts were wrong in an exam, by profile, backbone, kind of prompt, probes, classes.

The figures stand in `rates.json`, written by `python -m tests.exam rates` from the exam's rows.
What no exam has measured has no row, and a report says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from inspector.calibration.file import method_of
from inspector.calibration.schema import KINDS
from inspector.files import read_json

RATES = Path(__file__).with_name("rates.json")


@dataclass(frozen=True, slots=True)
class Measured:
    """What an inspection must be like for a row to speak of it; `classes` is their number."""

    statistic: str
    profile: str
    backbone: str | None
    family: str
    is_of_the_task: bool
    classes: int

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether the row was measured on such inspections."""
        method = method_of(self.family)
        fewest, most = row["classes"]
        return (
            method is not None
            and row["kind"] == KINDS[method]
            and row["statistic"] == self.statistic
            and row["profile"] == self.profile
            and row["backbone"] == self.backbone
            and row["is_of_the_task"] == self.is_of_the_task
            and fewest <= self.classes <= most
        )


def error_rates(measured: Measured) -> dict[str, Any] | None:
    """The report's `error_rates`; None where no exam measured such inspections."""
    return next((_told(row) for row in _rows() if measured.fits(row)), None)


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("basis", "false_alarms", "misses")}


@cache
def _rows() -> tuple[dict[str, Any], ...]:
    return tuple(read_json(RATES)["rows"])
