"""Resource limits, no new privileges, death with the parent.

Covered: memory, CPU time, file size, open files, core dumps and, but for root, new processes;
gaining privileges through set-uid programs; outliving the parent. Knows no file and no system call
filter.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Sequence

from inspector.checkpoint.levels import NO_NEW_PRIVILEGES, PARENT_DEATH, refused
from inspector.checkpoint.limits import MIB, Limits
from inspector.checkpoint.sandbox import kernel

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def limit_resources(limits: Limits) -> list[str]:
    """Set all limits but that on processes; gives those that took hold and those refused."""
    file_bytes = max(limits.artifact_bytes, limits.output_bytes) + 16 * MIB
    wanted: Sequence[tuple[str, int]] = (
        ("RLIMIT_AS", limits.address_space_bytes),
        ("RLIMIT_CPU", limits.cpu_s),
        ("RLIMIT_FSIZE", file_bytes),
        ("RLIMIT_NOFILE", limits.open_files),
        ("RLIMIT_CORE", 0),
    )
    return [layer for name, value in wanted for layer in _limit(name, value)]


def forbid_processes() -> list[str]:
    """No more processes for this user; root is not bound by it."""
    return _limit("RLIMIT_NPROC", 0)


def _limit(name: str, value: int) -> list[str]:
    layer = name.lower().replace("_", "-")
    kind = getattr(resource, name, None)
    if kind is None:
        return []
    _soft, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    # One second between the soft and the hard limit lets SIGXCPU say what happened.
    ceiling = value + 1 if name == "RLIMIT_CPU" and hard == resource.RLIM_INFINITY else value
    try:
        resource.setrlimit(kind, (value, ceiling))
    except (OSError, ValueError) as error:
        return [refused(layer, str(error))]
    return [layer]


def give_up_privileges() -> list[str]:
    """No program that this process could start would have more rights than it."""
    return _control(_PR_SET_NO_NEW_PRIVS, 1, NO_NEW_PRIVILEGES)


def die_with_parent(parent: int) -> list[str]:
    """Ask for SIGKILL when the parent ends; leave at once when it is gone already.

    To be called last of all that changes credentials: that would take the wish back.

    Args:
        parent: its process id as seen from here, 0 from inside a new process namespace.
    """
    taken = _control(_PR_SET_PDEATHSIG, signal.SIGKILL, PARENT_DEATH)
    if os.getppid() != parent:
        os._exit(1)
    return taken


def _control(option: int, value: int, layer: str) -> list[str]:
    if sys.platform != "linux":
        return []
    try:
        kernel.control(option, value, name=layer)
    except OSError as error:
        return [refused(layer, os.strerror(error.errno or 0))]
    return [layer]
