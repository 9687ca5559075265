"""The store's interface.

Uploads arrive in parts that the API has already spooled to a local file, hashed and measured, so a
store only ever sees whole files. Keys look like ``tenants/<tenant>/uploads/<id>/<name>``; a store
neither parses nor invents them, but may lengthen one when parts are joined. Idea: warehouse's
``IFileStorage`` (few methods, a local and an S3 form).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from app.errors import StoreUnavailable

_BUFFER = 1 << 16


class StoreMissing(Exception):
    """Nothing lies under that key, or the multipart upload is unknown."""


class PartsChanged(Exception):
    """Parts that were to be joined are gone or replaced by others; ``numbers`` says which."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(f"parts {numbers[:10]} are not the ones that were put")
        self.numbers = list(numbers)


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: its key, length in bytes and time of writing, by the store's own clock."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Parts that were begun and neither joined nor dropped.

    ``size``: of all of them, None where unknown.
    """

    key: str
    ref: str
    begun: datetime
    size: int | None


class Store(Protocol):
    """Raises ``StoreMissing`` for unknown keys and ``app.errors.StoreUnavailable`` for faults.

    Faults of the local disk that a file is read from or written to stay ``OSError``.
    """

    min_part_bytes: int
    """Every part but the last must be at least so long."""

    def check(self) -> None:
        """Raises ``StoreUnavailable`` unless the store can be used now."""

    def put(self, key: str, source: Path) -> None:
        """Copy a file to ``key``; readers see the old bytes or all of the new ones."""

    def open(self, key: str) -> BinaryIO:
        """The bytes under ``key`` as a forward-only stream, which the caller closes.

        Reading raises ``StoreUnavailable`` like any other call.
        """

    def size(self, key: str) -> int:
        """Length in bytes."""

    def delete(self, key: str) -> None:
        """Remove ``key``; an unknown one is no error."""

    def begin_parts(self, key: str) -> str:
        """Start an upload in parts; the answer names it in the calls below."""

    def put_part(self, key: str, ref: str, number: int, source: Path) -> str:
        """Keep part ``number`` (from 1); may consume ``source``.

        The answer names these very bytes.
        """

    def forget_part(self, key: str, ref: str, number: int, part: str) -> None:
        """Another part has taken the place of ``part``, which will not be joined."""

    def join_parts(self, key: str, ref: str, parts: Sequence[tuple[int, str]]) -> str:
        """Make one object from ``(number, answer of put_part)``, in order; the answer is its key.

        The key begins with ``key``, and what lies there never changes: other parts of the
        same ``ref`` never come to lie under it. Can be repeated, by several at a time,
        before and after a crash.

        Raises:
            PartsChanged: some parts are no longer the ones that are named; the
                rest can still be joined.
            StoreMissing: the store knows neither the parts nor an object that was made of them.
        """

    def drop_parts(self, key: str, ref: str) -> None:
        """Forget the parts; harmless after ``join_parts`` and when repeated."""

    def objects(self) -> Iterator[Stored]:
        """Every object below ``tenants/``, half-written ones too where the store shows them."""

    def unfinished(self) -> Iterator[Unfinished]:
        """Every upload in parts that was neither joined nor dropped."""


def guarded(source: Any) -> BinaryIO:
    """``source`` as a stream whose faults are ``StoreUnavailable``; its beginning is there already.

    So what cannot be read at all is known before anybody has answered that it can.
    """
    stream = io.BufferedReader(_Guarded(source), _BUFFER)
    try:
        stream.peek(1)
    except BaseException:
        stream.close()
        raise
    return stream


class _Guarded(io.RawIOBase):
    def __init__(self, source: Any) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        try:
            data = self._source.read(len(view))
        except Exception as error:
            # Beside botocore's own there are urllib3's, ssl's and the system's: all say one thing.
            raise StoreUnavailable("the stored bytes cannot be read to their end") from error
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()
