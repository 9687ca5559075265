"""Room on the file systems that bytes arrive on. Knows no settings and no store."""

from __future__ import annotations

import os
from pathlib import Path

MIB = 1024 * 1024


def shortage(path: Path, needed_bytes: int) -> str | None:
    """What is missing where ``path`` lies, or will lie; None where nothing is.

    It may be space, inodes, or leave to write.

    ``needed_bytes``: what an ordinary user must be able to write there.
    """
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        state = os.statvfs(path)
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"
    if state.f_flag & os.ST_RDONLY:
        return "is read-only"
    if state.f_files and not state.f_favail:
        return "has no inode left"
    free = state.f_bavail * state.f_frsize
    if free < needed_bytes:
        return f"has {free // MIB} MiB left, needed are {needed_bytes // MIB}"
    return None
