"""A root directory of our own that holds the reach and nothing else.

For a process that is alone in a new mount namespace. The input is mounted read-only, the directory
for results writable, both under their usual paths, in an empty read-only file system; the old root
is let go. No home, no ``/proc``, no ``/dev``, no program is left to find. Needs Linux 5.12.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

from inspector.checkpoint.levels import PRIVATE_ROOT
from inspector.checkpoint.sandbox import kernel
from inspector.checkpoint.sandbox.reach import Reach

_HERE = -100  # AT_FDCWD
_EMPTY_PATH, _RECURSIVE = 0x1000, 0x8000
_CLONE_TREE = 0x1 | os.O_CLOEXEC
_FROM_DESCRIPTOR = 0x4
_READ_ONLY, _RESTRICTED = 0x1, 0x2 | 0x4 | 0x8  # no set-uid programs, devices, programs
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2


def take_private_root(reach: Reach) -> list[str]:
    """Replace the root directory of this mount namespace.

    Raises:
        OSError: the kernel refused; the process is unusable then.
    """
    kernel.call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    read_only = {path: _READ_ONLY for path in reach.readable if path != reach.writable}
    clones = {
        path: _clone(path, _RESTRICTED | flags)
        for path, flags in ({reach.writable: 0} | read_only).items()
    }
    # The results' directory is one that surely exists; its own mount is already in our hands.
    base = reach.writable
    target = os.fsencode(base)
    kernel.call("mount", b"tmpfs", target, b"tmpfs", _RESTRICTED, b"size=4k,mode=755")
    # The outer of two nested places first, so that the inner one lies on top of it.
    for path in sorted(clones, key=lambda path: len(path.parts)):
        place = base / path.relative_to("/")
        _make_place(place, clones[path])
        kernel.call("move_mount", clones[path], b"", _HERE, os.fsencode(place), _FROM_DESCRIPTOR)
        os.close(clones[path])
    flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _RESTRICTED
    kernel.call("mount", b"none", target, None, flags, None)
    os.chdir(base)
    kernel.call("pivot_root", b".", b".")
    kernel.call("umount2", b".", _MNT_DETACH)
    os.chdir("/")
    return [PRIVATE_ROOT]


def _clone(path: Path, flags: int) -> int:
    """A detached copy of the mount at ``path`` with ``flags`` set, as a descriptor."""
    name = os.fsencode(path)
    descriptor = kernel.call("open_tree", _HERE, name, _CLONE_TREE | _RECURSIVE)
    attributes = struct.pack("=QQQQ", flags, 0, 0, 0)
    kernel.call(
        "mount_setattr",
        descriptor,
        b"",
        _EMPTY_PATH | _RECURSIVE,
        attributes,
        len(attributes),
    )
    return descriptor


def _make_place(place: Path, like: int) -> None:
    """A directory or an empty file to mount on, of the kind that the descriptor ``like`` is."""
    if os.path.lexists(place):
        return
    is_directory = stat.S_ISDIR(os.fstat(like).st_mode)
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if is_directory:
        place.mkdir(mode=0o755)
    else:
        place.touch(mode=0o644)
