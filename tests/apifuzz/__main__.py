"""``python -m tests.apifuzz --cases N``: that many requests by chance to the API on each database.

Both databases begin with the same rows, and each request goes to the other one too: status, media type
and the like must be the same. Prints what was answered to which operation, and every fault with its
request; the exit status is 1 when there is one, or when an operation never accepted anything. The
same seed draws the same cases, apart from the ids that a server makes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

from tests.apifuzz import campaign
from tests.apifuzz.tally import Tally
from tests.apifuzz.world import Kind, running, seed

_EXAMPLES = 25


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.apifuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="on each database, at least")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers")
    parser.add_argument("--database", choices=[*get_args(Kind), "both"], default="both")
    options = parser.parse_args()
    kinds: list[Kind] = list(get_args(Kind)) if options.database == "both" else [options.database]
    with tempfile.TemporaryDirectory(prefix="clipvet-apifuzz-") as place:
        seeded = seed(Path(place))
        passed = [
            _campaign(kind, seeded, Path(place) / f"on-{kind}", options.cases, options.seed)
            for kind in kinds
        ]
    return 0 if all(passed) else 1


def _campaign(kind: Kind, seeded: Path, folder: Path, cases: int, number: int) -> bool:
    other: Kind = "postgres" if kind == "sqlite" else "sqlite"
    begin = time.monotonic()
    with running(kind, seeded, folder) as world, running(other, seeded, folder) as twin:
        tally = campaign.run(
            world,
            cases=cases,
            examples=_EXAMPLES,
            seed=number,
            twin=twin,
            say=lambda line: print(f"{kind}: {line}", flush=True),
        )
    _report(kind, tally, number, time.monotonic() - begin)
    return tally.is_as_documented


def _report(kind: Kind, tally: Tally, number: int, spent_s: float) -> None:
    print(tally.table())
    print(
        f"{kind}, seed {number}: {tally.cases} cases of {len(tally.operations)} operations in "
        f"{spent_s:.0f} s, {tally.server_errors} of them 5xx, {len(tally.faults)} faults, "
        f"never accepted: {', '.join(sorted(tally.never_accepted)) or 'nothing'}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
