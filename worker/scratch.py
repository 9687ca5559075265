"""Stored bytes on this machine's disk, verified on the way. Knows no job."""

from __future__ import annotations

import hashlib
from pathlib import Path

from app.storage import Store
from worker.faults import StoredBytesChanged

_CHUNK = 1 << 20


def fetch(store: Store, key: str, target: Path, expected_sha256: str | None) -> None:
    """Copy an object to ``target``: the bytes that are hashed are the bytes on disk.

    May be repeated.

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
