"""The cage that the reading child locks itself into before it touches a hostile byte.

Covered: memory, CPU time, file size, open files, core dumps and new processes (rlimits); gaining
privileges through set-uid programs; outliving the parent; and, by an audit hook, any import,
compilation, process or socket after the lock, as a last net under code that does none of these.
Not covered: what the kernel itself would let a process of this user do (no namespaces, no seccomp;
the network stays reachable to native code); the audit hook stops Python code only.
The layers that took hold are named in the reading. Linux has all of them, other systems rlimits.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence

from inspector.checkpoint.limits import MIB, Limits

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38

_FORBIDDEN_EVENTS = (
    "import", "compile", "exec", "marshal.", "pickle.", "os.system", "os.exec", "os.fork",
    "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.", "socket.", "ctypes.", "code.",
    "pty.", "shutil.", "webbrowser.", "urllib.",
)  # fmt: skip


def enter(limits: Limits, parent: int) -> tuple[str, ...]:
    """Lock this process in and name the layers that took hold.

    Args:
        parent: the process id of the parent; the child leaves when it is already gone.
    """
    # The parent started us in a session of our own and with an empty environment.
    layers = ["new-session", "scrubbed-environment"]
    layers += _limit_resources(limits)
    if sys.platform == "linux":
        layers += _process_controls()
        if os.getppid() != parent:
            os._exit(1)
    sys.addaudithook(_refuse)
    return (*layers, "audit-hook")


def _limit_resources(limits: Limits) -> list[str]:
    file_bytes = max(limits.artifact_bytes, limits.output_bytes) + 16 * MIB
    wanted: Sequence[tuple[str, int]] = (
        ("RLIMIT_AS", limits.address_space_bytes),
        ("RLIMIT_CPU", limits.cpu_s),
        ("RLIMIT_FSIZE", file_bytes),
        ("RLIMIT_NOFILE", limits.open_files),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_NPROC", 0),
    )
    taken = []
    for name, value in wanted:
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        _soft, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # One second between the soft and the hard limit lets SIGXCPU say what happened.
        ceiling = value + 1 if name == "RLIMIT_CPU" and hard == resource.RLIM_INFINITY else value
        try:
            resource.setrlimit(kind, (value, ceiling))
        except (OSError, ValueError):
            continue
        taken.append(name.lower().replace("_", "-"))
    return taken


def _process_controls() -> list[str]:
    libc = ctypes.CDLL(None, use_errno=True)
    taken = []
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        taken.append("no-new-privileges")
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0:
        taken.append("parent-death-signal")
    return taken


def _refuse(event: str, _arguments: tuple[object, ...]) -> None:
    if event.startswith(_FORBIDDEN_EVENTS):
        raise RuntimeError(f"the reader must not do this: {event}")
