"""New namespaces around the reading: no network, no other process, a private root.

Three processes. The one that was started stays outside and waits; a second one makes the
namespaces; the third, the first of its process namespace, comes back from :func:`isolate` and
reads. Until it is ready nothing of the first has changed, so that it can go on alone, with the next
layer, where the machine forbids this one. What the third dies of, the others die of. Knows no
system call filter.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from inspector.checkpoint.levels import refused
from inspector.checkpoint.sandbox import kernel
from inspector.checkpoint.sandbox.reach import Reach
from inspector.checkpoint.sandbox.rlimits import die_with_parent
from inspector.checkpoint.sandbox.root import take_private_root

_USER = 0x10000000
_OTHERS = {
    "mount-namespace": 0x00020000,
    "cgroup-namespace": 0x02000000,
    "uts-namespace": 0x04000000,
    "ipc-namespace": 0x08000000,
    "pid-namespace": 0x20000000,
    "network-namespace": 0x40000000,
}
_UNSHARED, _WITHOUT_USER, _READY, _MAPPED = b"\1", b"\2", b"\3", b"\4"  # No text begins so.


@dataclass(frozen=True, slots=True)
class _Line:
    """What the first process and the others tell each other through two pipes."""

    incoming: int
    outgoing: int

    def close(self) -> None:
        os.close(self.incoming)
        os.close(self.outgoing)


def isolate(reach: Reach, cpu_s: int) -> tuple[list[str], bool]:
    """Come back inside new namespaces, or as before when the machine forbids them.

    Args:
        cpu_s: the CPU limit; the first process of a namespace ignores the signal that says so.

    Returns:
        The layers, or how they were refused; and whether we are inside.
    """
    ours, theirs = _connect()
    first = os.getpid()
    try:
        second = os.fork()
    except OSError as error:
        ours.close()
        theirs.close()
        return [refused("namespaces", f"fork: {error.strerror}")], False
    if second:
        theirs.close()
        reason = _supervise(ours, second, cpu_s)
        return [refused("namespaces", reason)], False
    ours.close()
    try:
        layers = _unshare(theirs, first)
        third = os.fork()
        if third:
            theirs.close()
            _die_like(third, cpu_s)
        layers += take_private_root(reach)
        os.write(theirs.outgoing, _READY)
        theirs.close()
    except OSError as error:
        text = kernel.told(error, "fork")
        os.write(theirs.outgoing, text.encode("ascii", "backslashreplace"))
        os._exit(1)
    return layers, True


def _connect() -> tuple[_Line, _Line]:
    from_us, to_them = os.pipe()
    from_them, to_us = os.pipe()
    return _Line(from_them, to_them), _Line(from_us, to_us)


def _supervise(line: _Line, second: int, cpu_s: int) -> str:
    """The first process: wait for the end of the reading, or give the reason why it cannot be."""
    said = os.read(line.incoming, 1)
    if said in (_UNSHARED, _WITHOUT_USER):
        # When this fails the other side sees the end of the line and says so.
        with suppress(OSError):
            if said == _UNSHARED:
                _map_ids(Path(f"/proc/{second}"))
            os.write(line.outgoing, _MAPPED)
        said = b""
    os.close(line.outgoing)
    while said != _READY and (piece := os.read(line.incoming, 512)):
        said += piece
    os.close(line.incoming)
    if said == _READY:
        _die_like(second, cpu_s)
    os.waitpid(second, 0)
    return said.decode("ascii", "replace") or "the process that tried was killed"


def _unshare(line: _Line, first: int) -> list[str]:
    """The second process: make the namespaces and have its ids mapped into them."""
    layers, others = list(_OTHERS), sum(_OTHERS.values())
    try:
        kernel.call("unshare", _USER | others)
        layers.insert(0, "user-namespace")
        os.write(line.outgoing, _UNSHARED)
    except OSError as error:
        if os.geteuid() != 0:
            raise
        kernel.call("unshare", others)
        layers.insert(0, refused("user-namespace", error.strerror or str(error)))
        os.write(line.outgoing, _WITHOUT_USER)
    if os.read(line.incoming, 1) != _MAPPED:
        raise OSError(0, "refused", "mapping of user ids")
    die_with_parent(first)
    return layers


def _map_ids(process: Path) -> None:
    """Give the namespace of ``process`` every id of ours; an ordinary user has only its own."""
    try:
        for name in ("uid_map", "gid_map"):
            (process / name).write_text(_same_ids(Path("/proc/self", name)))
    except PermissionError:
        (process / "uid_map").write_text(f"{os.geteuid()} {os.geteuid()} 1")
        (process / "setgroups").write_text("deny")
        (process / "gid_map").write_text(f"{os.getegid()} {os.getegid()} 1")


def _same_ids(current: Path) -> str:
    rows = (line.split() for line in current.read_text().splitlines())
    return "".join(f"{inside} {inside} {count}\n" for inside, _outside, count in rows)


def _die_like(pid: int, cpu_s: int) -> NoReturn:
    """Wait for the process and end as it did."""
    _pid, status, usage = os.wait4(pid, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL and usage.ru_utime + usage.ru_stime >= cpu_s:
            number = signal.SIGXCPU
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
