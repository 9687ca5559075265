"""What the header of a picture promises: format and size, without decoding anything.

JPEG (ITU-T T.81 annex B), PNG (ISO/IEC 15948), WebP (RFC 9649) and BMP, by magic number, never by
name. A header that does not come within the first `HEAD_BYTES`, or only behind thousands of blocks,
is none: libraries look for it block by block, in Python. Knows no limits on pictures.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

HEAD_BYTES = 4 * 1024 * 1024
_MAX_BLOCKS = 4096
"""Before the pixels; honest files have some dozens, metadata of many segments included."""
_MAX_CHUNKS = 65_536
"""Of a whole PNG: chunks of a kilobyte in the largest file that is read."""
_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, *range(0xD0, 0xD9)}
_SCAN = re.compile(rb"\xff\xda")
_HONEST_SCANS = 16
"""A progressive JPEG has about ten."""
_RUN_LENGTHS = {1, 2}
_SLOW = 16


@dataclass(frozen=True, slots=True)
class Header:
    """`format` by Pillow's name; `effort`: how many times the usual work a pixel takes."""

    format: str
    width: int
    height: int
    effort: int = 1

    @property
    def pixels(self) -> int:
        """Width times height, before anything is decoded."""
        return self.width * self.height


def read_header(head: bytes) -> Header | None:
    """The header in the first `HEAD_BYTES` of a file; None where there is none."""
    try:
        if head.startswith(_PNG):
            return _png(head)
        if head.startswith(b"\xff\xd8\xff"):
            return _jpeg(head)
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _webp(head)
        if head.startswith(b"BM"):
            return _bmp(head)
    except (struct.error, IndexError):
        pass  # Cut off.
    return None


def effort_of(header: Header, data: bytes) -> int | None:
    """`header.effort` once the whole file is known.

    None for a file that would keep a library busy for ever.
    """
    if header.format == "JPEG":
        # Every scan passes over all pixels, however little it says of them.
        return 1 + sum(1 for _ in _SCAN.finditer(data)) // _HONEST_SCANS
    if header.format == "PNG":
        chunks = sum(1 for _ in zip(_chunks(data), range(_MAX_CHUNKS + 1), strict=False))
        return header.effort if chunks <= _MAX_CHUNKS else None
    return header.effort


def _png(head: bytes) -> Header | None:
    sizes = []
    for (kind, at), _ in zip(_chunks(head), range(_MAX_BLOCKS), strict=False):
        if kind == b"IHDR":
            sizes.append(struct.unpack_from(">II", head, at))
        elif kind == b"IDAT":
            return _largest("PNG", sizes)
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Kind and place of the content of each chunk."""
    at = len(_PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8
        at += 12 + length


def _jpeg(head: bytes) -> Header | None:
    sizes: list[tuple[int, int]] = []
    at = 2
    for _ in range(_MAX_BLOCKS):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xDA:
            return _largest("JPEG", sizes)
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            sizes.append((width, height))
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + int(struct.unpack_from(">H", head, at + 2)[0])
    return None


def _webp(head: bytes) -> Header | None:
    """By the first chunk, to which libwebp holds all others."""
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", head, 26))
    else:
        return None
    return Header("WEBP", width, height, effort=2)


def _bmp(head: bytes) -> Header | None:
    (size,) = struct.unpack_from("<I", head, 14)
    if size == 12:
        return Header("BMP", *struct.unpack_from("<HH", head, 18))
    width, height = struct.unpack_from("<II", head, 18)
    if height >> 24 == 0xFF:
        height = 2**32 - height  # From top to bottom.
    (compression,) = struct.unpack_from("<I", head, 30)
    # Pillow unpacks run lengths in Python.
    return Header("BMP", width, height, _SLOW if compression in _RUN_LENGTHS else 1)


def _largest(kind: str, sizes: list[tuple[int, int]]) -> Header | None:
    """Of several that contradict each other, the one that would cost most."""
    if not sizes:
        return None
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Header(kind, width, height)
