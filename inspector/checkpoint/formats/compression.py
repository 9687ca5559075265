"""One file, compressed: gzip, xz or bzip2, of one stream and nothing behind it.

Knows bytes only. A stream that grows out of proportion is a bomb and stops; so is an xz whose
dictionary asks for more memory than weights ever need.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Literal, get_args

from inspector.checkpoint.limits import MIB, Limits
from inspector.checkpoint.source import Source
from inspector.errors import LimitExceeded, MalformedArtifact

Compression = Literal["gzip", "xz", "bzip2"]
_MARKS: dict[Compression, bytes] = {"gzip": b"\x1f\x8b", "xz": b"\xfd7zXZ\x00", "bzip2": b"BZh"}
SUFFIXES: dict[Compression, tuple[str, ...]] = {
    "gzip": (".gz", ".tgz"), "xz": (".xz", ".txz"), "bzip2": (".bz2", ".tbz2")
}  # fmt: skip
_RATIO = 200
"""How many times compressed data may grow before it counts as a bomb; weights shrink by under 2."""
_XZ_MEMORY = 128 * MIB
"""The highest preset of xz takes 65 MiB to decompress."""


def compression_of(head: bytes) -> Compression | None:
    """How a file that begins with ``head`` is compressed."""
    for kind in get_args(Compression):
        if head.startswith(_MARKS[kind]):
            return kind  # type: ignore[no-any-return]
    return None


def grown(stored: int, limits: Limits) -> int:
    """How many bytes ``stored`` bytes may become when they are decompressed."""
    return min(limits.artifact_bytes, MIB + _RATIO * stored)


def decompressed(source: Source, kind: Compression, limits: Limits) -> Iterator[bytes]:
    """The content of ``source`` in pieces.

    Raises:
        MalformedArtifact: broken or truncated data, or data after its end.
        LimitExceeded: it grows over :func:`grown`.
    """
    limit, written = grown(source.size, limits), 0
    stream = _inflated(source) if kind == "gzip" else _expanded(source, kind)
    try:
        for piece in stream:
            written += len(piece)
            if written > limit:
                raise LimitExceeded("decompressed bytes", limit, written)
            yield piece
    except (zlib.error, lzma.LZMAError, _BrokenBzip2) as error:
        raise MalformedArtifact("archive-malformed", f"the {kind} is broken") from error


class _BrokenBzip2(Exception):
    pass


def _inflated(source: Source) -> Iterator[bytes]:
    machine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for piece in source.stream(0, source.size):
        while piece:
            yield machine.decompress(piece, MIB)
            piece = machine.unconsumed_tail
        if machine.unused_data:
            break
    _check_end("gzip", machine.eof and not machine.unused_data)


def _expanded(source: Source, kind: Compression) -> Iterator[bytes]:
    # Both have one interface; the limit on memory is xz's.
    machine = _MACHINES[kind]()
    taken = 0
    for piece in source.stream(0, source.size):
        taken += len(piece)
        while not machine.eof and (piece or not machine.needs_input):
            try:
                yield machine.decompress(piece, MIB)
            except OSError as error:
                raise _BrokenBzip2 from error
            piece = b""
        if machine.eof:
            break
    is_whole = machine.eof and not machine.unused_data and taken == source.size
    _check_end(kind, is_whole)


def _check_end(kind: Compression, is_whole: bool) -> None:
    if not is_whole:
        raise MalformedArtifact("archive-malformed", f"the {kind} is cut off or followed by bytes")


_MACHINES: dict[Compression, Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]] = {
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
    "bzip2": bz2.BZ2Decompressor,
}
