"""What the default number of threads costs: README's `inspect` with it and with one, in turns.

`python -m tests.bench.threads [--rounds N] [--limit RATIO]`. Each round runs the command as a plain
shell would, without any setting of threads, and then with one thread; the order changes from round
to round, as the machine's other load does not stand still. Printed: seconds of the wall clock and of
the processor, and the ratio of the medians. With `--limit` a larger ratio is exit status 1.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

SAMPLES = Path("app/samples")
COMMAND = (
    "inspect", str(SAMPLES / "backdoored/model.pth.tar-25"), "--backbone", "pocket",
    "--manifest", str(SAMPLES / "manifest.json"), "--profile", "quick",
)  # fmt: skip
SETTINGS: dict[str, dict[str, str]] = {"default": {}, "one thread": {"OMP_NUM_THREADS": "1"}}
_BACKDOORED = 1


class Cost(NamedTuple):
    """Seconds that one run took."""

    wall: float
    processor: float


def plain_environment() -> dict[str, str]:
    """That of a shell in which nobody thought of threads."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "KMP_", "MKL_"))
    }


def run(setting: dict[str, str]) -> Cost:
    """Once. Raises RuntimeError where the backdoor is not found, as then something else was timed."""
    clipvet = Path(sys.executable).parent / "clipvet"
    with TemporaryDirectory() as out:
        before, start = os.times(), time.perf_counter()
        done = subprocess.run(
            [clipvet, *COMMAND, "--out", out],
            env=plain_environment() | setting,
            capture_output=True,
            text=True,
        )
        wall, after = time.perf_counter() - start, os.times()
    if done.returncode != _BACKDOORED:
        raise RuntimeError(f"exit status {done.returncode}: {done.stderr[-500:]}")
    spent = after.children_user + after.children_system
    return Cost(wall, spent - before.children_user - before.children_system)


def measure(rounds: int) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {name: [] for name in SETTINGS}
    for number in range(rounds):
        for name in sorted(SETTINGS, reverse=bool(number % 2)):
            costs[name].append(run(SETTINGS[name]))
            last = costs[name][-1]
            print(f"{name}: {last.wall:.1f} s, processor {last.processor:.1f} s", flush=True)
    return costs


def ratios(costs: dict[str, list[Cost]]) -> Cost:
    """Median of the default over median of one thread."""
    middle = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in costs.items()
    }
    pairs = zip(middle["default"], middle["one thread"], strict=True)
    return Cost(*(default / one for default, one in pairs))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float)
    options = parser.parse_args(arguments)
    ratio = ratios(measure(options.rounds))
    print(f"default / one thread: {ratio.wall:.2f} (processor {ratio.processor:.2f})")
    return int(options.limit is not None and ratio.wall > options.limit)


if __name__ == "__main__":
    sys.exit(main())
