"""``python -m tests.chaos [run | report | outage | wakeups]``; exit 0 if everything holds, 1 if not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.chaos import report
from tests.chaos.run import full, run, small


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


def main() -> int:
    asked = _arguments()
    if asked.what == "report":
        return 0 if report.show(asked.state) else 1
    size = small() if asked.small else full(asked.inspections, asked.faults)
    return 0 if run(size, asked.seed, asked.state) else 1


if __name__ == "__main__":
    sys.exit(main())
