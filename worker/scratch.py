"""A job's own folder: made fresh, removed at the end, whatever happens.

Folders of dead workers are swept when a worker starts. Knows no job.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from app.storage import Store
from worker.faults import StoredBytesChanged

_CHUNK = 1 << 20
_STALE_S = 24 * 3600


@contextmanager
def job_folder(root: Path) -> Iterator[Path]:
    """A private folder (mode 0700) under ``root``."""
    folder = root / uuid4().hex
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(root: Path, *, everything: bool) -> None:
    """Remove left-over folders: all of them, or those that nobody touched for a day."""
    if not root.is_dir():
        return
    for folder in root.iterdir():
        if everything or folder.stat().st_mtime < time.time() - _STALE_S:
            shutil.rmtree(folder, ignore_errors=True)


def fetch(store: Store, key: str, target: Path, expected_sha256: str | None) -> None:
    """Copy an object to ``target``: the bytes that are hashed are the bytes on disk. May be repeated.

    Raises:
        StoredBytesChanged: they do not hash to ``expected_sha256``.
        StoreMissing, StoreUnavailable: as the store says.
    """
    digest = hashlib.sha256()
    stream = store.open(key)
    try:
        with target.open("wb") as out:
            while chunk := stream.read(_CHUNK):
                out.write(chunk)
                digest.update(chunk)
    finally:
        stream.close()
    if expected_sha256 is not None and digest.hexdigest() != expected_sha256:
        raise StoredBytesChanged("the stored bytes are not the ones that were uploaded")


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
