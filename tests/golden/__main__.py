"""`python -m tests.golden --write` writes the fixtures anew; without `--write` it only says what differs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.golden import golden
from tests.golden.cases import written
from tests.golden.comparing import machine


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--write", action="store_true", help="overwrite the fixtures")
    is_writing = parser.parse_args().write
    with TemporaryDirectory() as scratch:
        reports, seeds = golden.inspect_all(Path(scratch))
    now = {
        "reports": golden.figures(reports), "seeds": seeds, "keys": golden.keys(reports),
        "rule": golden.rule(), "draws": golden.drawn(),
    }  # fmt: skip
    if is_writing:
        for name, value in (now | {"machine": machine()}).items():
            written(golden.FIXTURES / f"{name}.json", value)
        return 0
    failed = False
    for name, value in now.items():
        try:
            golden.check(name, value)
        except AssertionError as differing:
            print(differing, file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
