"""``python -m tests.witness --runs N``: that many parcels by chance, resumable.

Prints how many files there were, how many a loader could open, and what clipvet said of them; every
file in which it was wrong is left in ``var/witness``, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.witness import campaign, mutations
from tests.witness.parcels import Parcel, delivered

_BATCH = 250
_REPORT_EVERY = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.witness", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="files in all")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers")
    parser.add_argument("--state", type=Path, default=Path("var/witness"))
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    kept = options.state / f"seed-{options.seed}.json"
    counts = Counter(json.loads(kept.read_text()) if kept.is_file() else {})
    begin, before = time.monotonic(), counts["files"]
    while counts["files"] < options.runs:
        number = counts["files"] // _BATCH
        size = min(_BATCH, options.runs - counts["files"])
        counts += _batch(options.seed, number, size, options.state)
        kept.write_text(json.dumps(counts))
        if number % _REPORT_EVERY == 0:
            _report(counts, before, time.monotonic() - begin)
    _report(counts, before, time.monotonic() - begin)
    return 1 if counts["disagreements"] else 0


def _batch(seed: int, number: int, size: int, out: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    parcels = [mutations.parcel(Random(f"{seed}/{number}/{i}")) for i in range(size)]
    for index, result in enumerate(campaign.run(parcels)):
        counts["files"] += 1
        counts["readable by a loader"] += result.is_readable
        counts["ran something"] += bool(result.ran)
        counts[result.kind] += 1
        if result.disagreement:
            place = out / f"{seed}-{number}-{index}"
            _keep(parcels[index], place)
            print(f"{place}: {result.disagreement}", file=sys.stderr, flush=True)
    return counts


def _keep(parcel: Parcel, place: Path) -> None:
    if not place.exists():
        place.mkdir()
        delivered(parcel, place)


def _report(counts: Counter[str], before: int, spent_s: float) -> None:
    kinds = ("readable by a loader", "judged the same", "not clean", "not readable by a loader")
    shown = ", ".join(f"{counts[kind]} {kind}" for kind in (*kinds, "ran something"))
    each = 1000 * spent_s / max(1, counts["files"] - before)
    print(
        f"{counts['files']} files: {shown}, {counts['disagreements']} disagreements ({each:.0f} ms each)",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
