"""Random access to the bytes of one open file, never beyond its end.

Every read names its offset, so that two parsers cannot disagree about a position. Knows no format.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from inspector.errors import MalformedArtifact, UnsupportedFormat

_PIECE_BYTES = 256 * 1024
"""Small enough that checksum, count and write find a piece in the cache of one core; a multiple of
every value's size."""


@dataclass(frozen=True, slots=True)
class Source:
    """An open regular file: its descriptor and the size it had when it was opened.

    Or a part of one, ``size`` bytes from ``base`` on, whose offsets count from there.
    """

    descriptor: int
    size: int
    base: int = 0

    def part(self, offset: int, size: int) -> Source:
        """A stretch of this source as a source of its own."""
        return Source(self.descriptor, size, self.base + offset)

    def read(self, offset: int, count: int) -> bytes:
        """Exactly ``count`` bytes from ``offset``.

        Raises:
            MalformedArtifact: the file ends before that.
        """
        if offset < 0 or count < 0 or offset + count > self.size:
            raise MalformedArtifact(
                "structure-out-of-range", "a structure points outside of the file"
            )
        pieces = []
        while count:
            piece = os.pread(self.descriptor, count, self.base + offset)
            if not piece:
                raise MalformedArtifact(
                    "structure-out-of-range", "the file shrank while it was read"
                )
            pieces.append(piece)
            offset += len(piece)
            count -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def stream(self, offset: int, count: int, step: int = _PIECE_BYTES) -> Iterator[bytes]:
        """``count`` bytes from ``offset`` in pieces of at most ``step``."""
        end = offset + count
        while offset < end:
            piece = self.read(offset, min(step, end - offset))
            yield piece
            offset += len(piece)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The file at ``path``.

    Raises:
        UnsupportedFormat: it is no regular file.
    """
    # Without O_NONBLOCK a FIFO would block the reader for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise UnsupportedFormat("not-a-checkpoint", f"{path.name} is no regular file")
        yield Source(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def sha256_of(source: Source) -> str:
    """The SHA-256 of the whole file, in hexadecimal."""
    digest = hashlib.sha256()
    for piece in source.stream(0, source.size):
        digest.update(piece)
    return digest.hexdigest()
