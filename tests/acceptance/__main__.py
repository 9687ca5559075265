"""``python -m tests.acceptance``: every step of ``steps`` that has not passed on this commit, then a table.

A step's output goes to ``STATE/NAME.log``, its end to ``STATE/rows.jsonl`` at once; whoever stops the
run loses the step under way. Exit status 1 when a step failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.acceptance.steps import STEPS, Step

ROOT = Path(__file__).parents[2]
_LAST_LINES = 5


def commit() -> str:
    """What is checked out; with a mark if the work tree differs, as such a pass proves little."""
    described = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(described, check=True, capture_output=True, text=True).stdout.strip()


def rows_of(state: Path) -> list[dict[str, Any]]:
    """All ends so far, the oldest first."""
    path = state / "rows.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(step: Step, state: Path, at: str) -> dict[str, Any]:
    """One step to its end; its row is written before this returns."""
    log = state / f"{step.name}.log"
    begun = time.monotonic()
    if step.needs is not None and not (ROOT / step.needs).exists():
        how, last = "skipped", f"{step.needs} is not there"
    else:
        with log.open("wb") as out:
            environment = os.environ | dict(step.environment)
            ended = subprocess.run(
                step.command, cwd=ROOT, env=environment, stdout=out, stderr=out, check=False
            )
        how = "passed" if ended.returncode == 0 else f"failed ({ended.returncode})"
        last = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
    row = {
        "name": step.name,
        "commit": at,
        "how": how,
        "seconds": round(time.monotonic() - begun),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "last": last,
    }
    with (state / "rows.jsonl").open("a") as out:
        out.write(json.dumps(row) + "\n")
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The newest row of each step, in the order of the steps; those that never ran stand there, too."""
    newest = {row["name"]: row for row in rows}
    lines = [f"{'step':14} {'end':12} {'seconds':>8} {'commit':14} what is asked"]
    for step in STEPS:
        row = newest.get(step.name, {"how": "not run", "seconds": "", "commit": ""})
        lines.append(
            f"{step.name:14} {row['how']:12} {row['seconds']:>8} {row['commit']:14} {step.what}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path("var/acceptance"))
    parser.add_argument("--only", nargs="*", choices=[step.name for step in STEPS])
    parser.add_argument("--again", action="store_true", help="also what has passed on this commit")
    parser.add_argument("--table", action="store_true", help="print the table and run nothing")
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    at = commit()
    done = {
        row["name"]
        for row in rows_of(options.state)
        if row["commit"] == at and row["how"] == "passed"
    }
    for step in () if options.table else STEPS:
        if (options.only and step.name not in options.only) or (
            step.name in done and not options.again
        ):
            continue
        print(f"{step.name}: {step.what}", flush=True)
        row = run(step, options.state, at)
        print(f"{step.name}: {row['how']} in {row['seconds']} s\n{row['last']}\n", flush=True)
    rows = rows_of(options.state)
    print(table(rows))
    newest = {row["name"]: row for row in rows}
    return int(any(str(row["how"]).startswith("failed") for row in newest.values()))


if __name__ == "__main__":
    sys.exit(main())
