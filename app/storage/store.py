"""The store's interface.

Uploads arrive in parts that the API has already spooled to a local file, hashed and measured, so a
store only ever sees whole files. Keys look like ``tenants/<tenant>/uploads/<id>``; a store neither
parses nor invents them. Idea: warehouse's ``IFileStorage`` (few methods, a local and an S3 form).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol


class StoreMissing(Exception):
    """Nothing lies under that key, or the multipart upload is unknown."""


class Store(Protocol):
    """Raises ``StoreMissing`` for unknown keys and ``app.errors.StoreUnavailable`` for faults."""

    min_part_bytes: int
    """Every part but the last must be at least so long."""

    def check(self) -> None:
        """Raises ``StoreUnavailable`` unless the store can be used now."""

    def put(self, key: str, source: Path) -> None:
        """Copy a file to ``key``; readers see the old bytes or all of the new ones."""

    def open(self, key: str) -> BinaryIO:
        """The bytes under ``key`` as a forward-only stream; the caller closes it."""

    def size(self, key: str) -> int:
        """Length in bytes."""

    def delete(self, key: str) -> None:
        """Remove ``key``; an unknown one is no error."""

    def begin_parts(self, key: str) -> str:
        """Start an upload in parts; the answer names it in the calls below."""

    def put_part(self, key: str, ref: str, number: int, source: Path) -> str:
        """Keep part ``number`` (from 1), replacing an earlier one; may consume ``source``."""

    def join_parts(self, key: str, ref: str, parts: list[tuple[int, str]]) -> None:
        """Make the object from ``(number, answer of put_part)``, in order. Parts stay usable."""

    def drop_parts(self, key: str, ref: str) -> None:
        """Forget the parts; harmless after ``join_parts`` and when repeated."""
