"""``python -m tests.fuzz TARGET --runs N``: one target under atheris, which must be installed.

Prints what libFuzzer prints, and the target's own figures every 100,000 executions. A failing input
is left in ``var/fuzz`` as ``crash-*``, ``timeout-*`` or ``oom-*``; give such files in place
of ``--runs`` to run only them. Knows no target.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import atheris

if TYPE_CHECKING:  # At run time the reader must be imported under instrumentation.
    from tests.fuzz.target import Target

MODULES = {
    "pickle": "pickles",
    "zip": "zips",
    "tar": "tars",
    "safetensors": "headers",
    "reader": "readers",
}
_FAILURES = Path("var/fuzz")
_REPORT_EVERY = 100_000
_NATIVE_SHARE = 0.2
"""How often libFuzzer's own mutations are taken, which know what the code compares with."""

_SEED_SHARE = 0.3
"""How often a mutation begins at a seed: the corpus fills with files that are refused."""


class Meter:
    """What the executions of one run were like."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.begin = time.monotonic()
        self.executions = self.accepted = self.slowest_bytes = 0
        self.slowest = 0.0

    def run(self, data: bytes) -> None:
        start = time.perf_counter()
        self.accepted += self.target.check(data)
        spent = time.perf_counter() - start
        if spent > self.slowest:
            self.slowest, self.slowest_bytes = spent, len(data)
        self.executions += 1
        if self.executions % _REPORT_EVERY == 0:
            self.report()

    def report(self) -> None:
        spent = time.monotonic() - self.begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{self.target.name}: {self.executions} executions in {spent:.0f} s "
            f"({self.executions / spent:.0f}/s), {self.accepted} accepted, peak {peak} MiB, "
            f"slowest {self.slowest * 1000:.0f} ms ({self.slowest_bytes} bytes)",
            file=sys.stderr,
            flush=True,
        )


def load(name: str) -> Target:
    """The target, with the reader instrumented; none of it may have been imported before."""
    with atheris.instrument_imports(include=["inspector"]):
        module = importlib.import_module(f"tests.fuzz.{MODULES[name]}")
    target: Target = module.TARGET
    return target


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=sorted(MODULES))
    parser.add_argument("inputs", nargs="*", type=Path, help="run only these files")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers")
    parser.add_argument("--timeout-s", type=int, default=5, help="longest execution")
    parser.add_argument("--memory-mib", type=int, default=1024, help="most resident memory")
    options = parser.parse_args()
    target = load(options.target)
    meter = Meter(target)
    if options.inputs:
        for path in options.inputs:
            meter.run(path.read_bytes())
        meter.report()
        return

    seeds = target.seeds()

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < _SEED_SHARE:
            data = rng.choice(seeds)
        if rng.random() < _NATIVE_SHARE:
            return bytes(atheris.Mutate(data, longest))
        return target.mutate(data, rng, longest)

    _FAILURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for index, seed in enumerate(seeds):
            (Path(corpus) / str(index)).write_bytes(seed)
        arguments = [
            sys.argv[0], f"-runs={options.runs}", f"-seed={options.seed}",
            f"-max_len={target.longest}", f"-timeout={options.timeout_s}",
            f"-rss_limit_mb={options.memory_mib}", "-print_final_stats=1", f"-artifact_prefix={_FAILURES}/", corpus,
        ]  # fmt: skip
        atheris.Setup(arguments, meter.run, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
