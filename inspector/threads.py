"""How many threads a process computes with, and how these wait for each other.

Two rules, from experiment 51. Threads that wait must sleep: the matrix products
of a small backbone take less time than another process's turn on a core, and a thread that spins
through such a turn burns several times the work. And a small backbone is given one thread, a large
one every core that this process may use. What the user sets (``OMP_NUM_THREADS`` and its like)
always wins. :func:`wait_asleep` has to come before torch is imported, as OpenMP reads its
environment once; this module therefore imports nothing but the standard library at first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SMALL_PARAMETERS = 5_000_000
"""An image encoder below this many parameters computes with one thread. `pocket` has 1.1 million,
and a second thread costs it 10 to 20 % more work than it takes off the first; at 22 million, the
smallest that was asked beyond, none. ViT-B/16 has 86 million."""

_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_THREAD_LIMIT")
_WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_asleep() -> None:
    """Let OpenMP's threads sleep instead of spin, in this process and its children."""
    if not any(os.environ.get(name) for name in _WAITS):
        os.environ["OMP_WAIT_POLICY"] = "passive"  # GNU's runtime, which torch brings on Linux.
        os.environ["KMP_BLOCKTIME"] = "0"  # LLVM's and Intel's, which it brings elsewhere.


def fit_to(parameters: int) -> None:
    """Set torch's threads for an image encoder of so many parameters, unless the user has."""
    import torch

    if not any(os.environ.get(name) for name in _COUNTS):
        torch.set_num_threads(threads_for(parameters, usable_cores()))


def threads_for(parameters: int, cores: int) -> int:
    """The rule: one, or every usable core."""
    return 1 if parameters < SMALL_PARAMETERS else cores


def usable_cores(system: Path = Path("/")) -> int:
    """Cores that this process may use: of those it may run on, no more than its cgroups' quotas.

    Two hardware threads of one core count once: matrix products gain nothing from the second.

    Args:
        system: where ``proc`` and ``sys`` lie.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    numbers = os.sched_getaffinity(0)
    topology = system / "sys/devices/system/cpu"
    siblings = {
        _text(topology / f"cpu{number}/topology/thread_siblings_list") or str(number)
        for number in numbers
    }
    # Less than a whole core is still one thread; half a core more is not worth another one.
    return max(1, min(len(siblings), *(int(quota) for quota in _quotas(system)), len(numbers)))


def _quotas(system: Path) -> Iterator[float]:
    """Cores' worth of time that the cgroups of this process, and those above them, allow."""
    for line in (_text(system / "proc/self/cgroup") or "").splitlines():
        _number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not path:
            continue
        if controllers == "":
            root = system / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            root = system / "sys/fs/cgroup" / controllers
        else:
            continue
        own = root / path.lstrip("/")
        # Inside a container the path may be the host's; its own limit then lies at the root.
        for folder in {own, *own.parents, root}:
            if folder == root or root in folder.parents:
                quota = _quota_of(folder)
                if quota is not None:
                    yield quota


def _quota_of(folder: Path) -> float | None:
    """Of one cgroup, version 2 (``max`` or microseconds, and period) or version 1 (-1: none)."""
    both = _text(folder / "cpu.max")
    if both is None:
        both = f"{_text(folder / 'cpu.cfs_quota_us')} {_text(folder / 'cpu.cfs_period_us')}"
    try:
        quota, period = map(int, both.split())
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
