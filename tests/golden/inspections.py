"""All golden inspections in one warm process: `python -m tests.golden.inspections OUT [CASE ...]`.

Runs `python -m inspector` again and again, as its users do, and therefore names no module of it. Writes
OUT/reports.json, the reports by the names of their cases, and OUT/seeds.json, which random generators each
inspection made and how much they drew.
"""

from __future__ import annotations

import io
import json
import re
import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests.golden.cases import BY_NAME, CASES, written
from tests.golden.generators import Recorder
from tests.golden.pictures import draw


def inspected(arguments: list[str]) -> dict[str, Any]:
    """The report that a command line prints."""
    printed, before = io.StringIO(), sys.argv
    sys.argv = ["inspector", *arguments]
    try:
        with redirect_stdout(printed):
            runpy.run_module("inspector", run_name="__main__")
    except SystemExit as ended:
        if ended.code not in (0, 1, 3):
            raise
    finally:
        sys.argv = before
    report: dict[str, Any] = json.loads(printed.getvalue())
    return report


def main(out: Path, names: list[str]) -> None:
    pictures = draw(out / "pictures")
    reports, seeds = {}, {}
    for case in [BY_NAME[name] for name in names] or CASES:
        folder = out / re.sub(r"\W+", "-", case.name)
        command = case.command(folder, pictures)
        with Recorder() as recorder:
            reports[case.name] = inspected(command)
        seeds[case.name] = recorder.told()
    written(out / "reports.json", reports)
    written(out / "seeds.json", seeds)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
