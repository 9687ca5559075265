"""Stored bytes on this machine's disk, verified on the way. Knows no job."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from app.storage import Store, StoreMissing
from worker.faults import StoredBytesChanged

_CHUNK = 1 << 20
_SECOND_LOOK_S = 1.0


def fetch(store: Store, key: str, target: Path, expected_sha256: str | None) -> None:
    """Copy an object to ``target``: the bytes that are hashed are the bytes on disk.

    May be repeated.

    Raises:
        StoredBytesChanged: they do not hash to ``expected_sha256``.
        StoreMissing, StoreUnavailable: as the store says.
    """
    digest = hashlib.sha256()
    stream = _opened(store, key)
    try:
        with target.open("wb") as out:
            while chunk := stream.read(_CHUNK):
                out.write(chunk)
                digest.update(chunk)
    finally:
        stream.close()
    if expected_sha256 is not None and digest.hexdigest() != expected_sha256:
        raise StoredBytesChanged("the stored bytes are not the ones that were uploaded")


def _opened(store: Store, key: str) -> BinaryIO:
    """The stream; asked for twice before it is believed to be gone.

    What stands before a store that is away may answer "not found".
    """
    try:
        return store.open(key)
    except StoreMissing:
        store.check()
        time.sleep(_SECOND_LOOK_S)
        return store.open(key)


def size_of(folder: Path) -> int:
    """Bytes of all files below, as far as they can be seen."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
