"""The steps, in the order of their run: cheap ones first, so that a break shows early.

A step is a command that ends with 0 when what it is there for holds, and that can be run by itself. It
goes on where it was cut off if it is a long one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BESIDE = Path("../shared")
"""Fixtures that are no part of the project."""
_STATE = "var/acceptance"


@dataclass(frozen=True)
class Step:
    """``what``: the demand in a few words; ``needs``: a path without which the step is skipped."""

    name: str
    what: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Path | None = None


def _module(name: str, what: str, module: str, *arguments: str, needs: Path | None = None) -> Step:
    return Step(name, what, (sys.executable, "-m", module, *arguments), needs=needs)


def _tests(name: str, what: str, *paths: str, **environment: str) -> Step:
    command = (sys.executable, "-m", "pytest", "-q", "-n", "0", *paths)
    return Step(name, what, command, environment)


STEPS = (
    _tests(
        "receivers",
        "80 poison and 6 tar-pit receivers: a healthy one gets every event within 10 s",
        "tests/service/test_webhook_fairness.py",
    ),
    _tests(
        "slow-clients",
        "1,050 half-open requests leave the API answering",
        "tests/service/test_slow_clients.py",
    ),
    _module(
        "races",
        "2,000 parts against complete: the stored hash is the hash of the stored bytes",
        "tests.load.races", "--races", "2000",
    ),
    *(
        _module(
            f"api-{kind}",
            "10,000 requests drawn from the API's document: no 5xx, nothing undocumented",
            "tests.apifuzz", "--cases", "10000", "--database", kind,
        )
        for kind in ("sqlite", "postgres")
    ),
    _module("wakeups", "a lost wake-up and a retry begin in time", "tests.chaos", "wakeups"),
    _module("outage", "store and database cut for 60 s each: all 30 jobs succeed", "tests.chaos", "outage"),
    *(
        _module(
            f"chaos-{seed}",
            "500 inspections under 100 faults end exactly once",
            "tests.chaos", "--seed", seed,
        )
        for seed in ("1", "2")
    ),
    _module("threads", "default threads cost at most 1.3 of one", "tests.bench.threads", "--limit", "1.3"),
    _module(
        "wrappers",
        "re-wrapped conformance cases give the original's logits",
        "tests.bench.wrappers",
        needs=BESIDE / "conformance",
    ),
    _tests("hostile", "every hostile file, read in a child", "tests/hostile", CLIPVET_HOSTILE="all"),
    _tests("roundtrip", "80 configurations of each family", "tests/roundtrip", ROUNDTRIP_EXAMPLES="80"),
    *(
        Step(
            f"fuzz-{target}",
            f"the reader's {target} parser, guided by coverage",
            ("make", "fuzz", f"FUZZ={target}", "RUNS=100000"),
        )
        for target in ("pickle", "zip", "safetensors", "tar")
    ),
    Step("fuzz-reader", "the whole reader, guided by coverage", ("make", "fuzz", "FUZZ=reader", "RUNS=10000")),
    _module(
        "witness",
        "100,000 files: nothing that a loader takes is missed",
        "tests.witness", "--runs", "100000", "--seed", "21", "--state", f"{_STATE}/witness",
    ),
    Step("detect", "part of the exam, rebuilt and inspected", ("make", "bench-detect")),
)  # fmt: skip
