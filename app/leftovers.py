"""Files and folders that belong to one process, and the removal of those whose process has died.

Whoever makes one holds the kernel's lock on it (flock), which ends with the process,
however that ends. So any process may tidy up beside all others, at once and without
guessing by age. Knows no purpose.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

_OURS = re.compile(r"[0-9a-f]{32}")


def new_file(roof: Path) -> BinaryIO:
    """An empty file under ``roof``, held until it is closed; its path is ``name``."""
    roof.mkdir(parents=True, exist_ok=True)
    while True:
        out = (roof / uuid4().hex).open("xb")
        if _hold(out.fileno(), Path(out.name)):
            return out
        out.close()


@contextmanager
def new_folder(roof: Path) -> Iterator[Path]:
    """A private folder (mode 0700) under ``roof``, removed at the end."""
    path, handle = _make_folder(roof)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def sweep(roof: Path) -> None:
    """Remove what nobody holds."""
    if not roof.is_dir():
        return
    for path in roof.iterdir():
        if _OURS.fullmatch(path.name):
            _remove_unheld(path)


def _make_folder(roof: Path) -> tuple[Path, int]:
    while True:
        path = roof / uuid4().hex
        path.mkdir(parents=True, mode=0o700)
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        if _hold(handle, path):
            return path, handle
        os.close(handle)


def _hold(handle: int, path: Path) -> bool:
    """Whether the lock was had before somebody who sweeps took the newcomer for a left-over."""
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _remove_unheld(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        # Held by a living process, or on a file system that knows no such locks.
        return
    finally:
        os.close(handle)
