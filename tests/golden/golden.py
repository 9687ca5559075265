"""The fixtures, what stands for them now, and how both are held together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.golden.comparing import (
    Near,
    as_drawn,
    as_measured_elsewhere,
    as_measured_here,
    differences,
    exactly,
    machine,
)
from tests.golden.draws import draws
from tests.golden.figures import figures_of
from tests.golden.keys import keys_of
from tests.golden.models import ROOT
from tests.golden.seam import rule_values

FIXTURES = Path(__file__).parent / "fixtures"
KINDS_OF_REPORT = {
    "conditioned": "sample-clean, quick",
    "conditioned, repaired": "sample-backdoored, repaired",
    "static": "coop-specific",
    "published rule": "coop-two, paper",
    "several models": "two models",
    "unreadable": "torn",
    "ended early": "unknown key, out of time",
}
"""Cases whose reports differ in their keys."""
Reports = Mapping[str, dict[str, Any]]


def inspect_all(out: Path) -> tuple[Reports, dict[str, list[str]]]:
    """Reports and seeds of all cases, from one process.

    One thread, as several add up in another order, and last bits decide on which side a picture falls.
    """
    subprocess.run(
        [sys.executable, "-m", "tests.golden.inspections", str(out)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
    )
    return _read(out / "reports.json"), _read(out / "seeds.json")


def figures(reports: Reports) -> dict[str, Any]:
    return {case: figures_of(report) for case, report in reports.items()}


def keys(reports: Reports) -> dict[str, Any]:
    return {kind: keys_of(reports[case]) for kind, case in KINDS_OF_REPORT.items()}


def rule() -> dict[str, Any]:
    """Constants as JSON has them, where a tuple is a list."""
    return dict(json.loads(json.dumps(rule_values())))


def drawn() -> dict[str, Any]:
    return draws()


def pinned(name: str) -> dict[str, Any]:
    """A fixture."""
    return _read(FIXTURES / f"{name}.json")


def check(name: str, now: Mapping[str, Any]) -> None:
    """Fails with every path at which `now` is not what the fixture says."""
    if differing := differences(pinned(name), now, _near(name)):
        raise AssertionError(
            f"{len(differing)} paths of tests/golden/fixtures/{name}.json differ:\n  "
            + "\n  ".join(differing)
            + "\nIf the change is meant: python -m tests.golden --write, and review the diff."
        )


def _near(name: str) -> Near:
    if name == "draws":
        return as_drawn
    if name != "reports":
        return exactly
    return as_measured_here if pinned("machine") == machine() else as_measured_elsewhere


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8")))
