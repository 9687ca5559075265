"""``python -m tests.chaos [run | report | outage | wakeups]``; exit 0 if everything holds, 1 if not."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.chaos import report
from tests.chaos.findings import Finding, table
from tests.chaos.outage import outage
from tests.chaos.record import Record
from tests.chaos.run import Run, full, small
from tests.chaos.wakeups import wakeups

_OUTAGE_JOBS = 30
_WAKE_UPS = 5


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "what", nargs="?", default="run", choices=["run", "report", "outage", "wakeups"]
    )
    parser.add_argument("--inspections", type=int, default=500)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, help="a new folder below /tmp unless told")
    parser.add_argument("--small", action="store_true", help="as in the default suite")
    parser.add_argument("--seconds", type=float, default=60, help="length of an outage")
    return parser.parse_args()


def _findings(asked: argparse.Namespace, state: Path, record: Record) -> Iterator[Finding]:
    match asked.what:
        case "outage":
            return outage(state, record, seconds=asked.seconds, jobs=_OUTAGE_JOBS)
        case "wakeups":
            return wakeups(state, record, times=_WAKE_UPS)
        case _:
            size = small() if asked.small else full(asked.inspections, asked.faults)
            return Run(size, asked.seed, record, state).perform()


def main() -> int:
    asked = _arguments()
    # So that whoever ends a run ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if asked.what == "report":
        return 0 if report.show(asked.state) else 1
    state = asked.state or Path(tempfile.mkdtemp(prefix="cv-chaos-", dir="/tmp"))
    if (state / "rows.jsonl").exists():
        sys.exit(f"{state} holds a run already; its table: report --state {state}")
    state.mkdir(parents=True, exist_ok=True)
    # As root the database runs as another user, who must be able to enter.
    state.chmod(0o755)
    record = Record(state)
    findings = []
    for finding in _findings(asked, state, record):
        record.write("finding", **finding.__dict__)
        findings.append(finding)
    print(table(findings))
    print(f"{record.now:.0f} s; rows and logs: {state}")
    return 0 if all(finding.holds is not False for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
