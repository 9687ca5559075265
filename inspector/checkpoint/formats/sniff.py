"""What a file is, by its bytes; its name says nothing.

A file that is valid in two formats at once is refused: whoever checks it as one can be made to load
it as the other. Knows where formats keep their marks, and nothing else about them.
"""

from __future__ import annotations

from typing import Literal

from inspector.checkpoint.formats.compression import compression_of
from inspector.checkpoint.formats.legacy import looks_like_legacy
from inspector.checkpoint.formats.safetensors import looks_like_safetensors
from inspector.checkpoint.formats.tars import may_be_header
from inspector.checkpoint.source import Source
from inspector.errors import MalformedArtifact, UnsupportedFormat

Kind = Literal[
    "zip", "gzip", "xz", "bzip2", "tar", "safetensors", "torch-legacy", "pickle", "json", "several",
    "unknown",
]  # fmt: skip
"""``several`` are files that belong together; no single file is that."""

_ZIP_END = b"PK\x05\x06"
_TAR_MARK_OFFSET = 257


def sniff(source: Source) -> Kind:
    """The kind of the file; ``unknown`` may still turn out to be a pickle of protocol 0.

    Raises:
        UnsupportedFormat: the file is empty.
        MalformedArtifact: two formats at once.
    """
    if source.size == 0:
        raise UnsupportedFormat("empty-file", "the file has no bytes")
    head = source.read(0, min(512, source.size))
    # torch tries a file as a tar before it tries it as a pickle, and needs
    # no mark, only a checksum.
    is_tar = head[_TAR_MARK_OFFSET : _TAR_MARK_OFFSET + 5] == b"ustar" or may_be_header(head)
    is_zip = head[:4] in (b"PK\x03\x04", _ZIP_END)
    if is_tar and is_zip:
        raise MalformedArtifact("polyglot", "the file is a zip and a tar at once")
    if is_zip:
        return "zip"
    if _ends_as_zip(source):
        raise MalformedArtifact("polyglot", "a zip follows after the beginning of another format")
    compression = compression_of(head)
    if compression is not None:
        if is_tar:
            raise MalformedArtifact("polyglot", f"the file is a {compression} and a tar at once")
        return compression
    kind = _plain_kind(source, head)
    if is_tar and kind != "unknown":
        raise MalformedArtifact("polyglot", f"the file is a tar and a {kind} at once")
    return "tar" if is_tar else kind


def _plain_kind(source: Source, head: bytes) -> Kind:
    if looks_like_safetensors(source):
        return "safetensors"
    if looks_like_legacy(head):
        return "torch-legacy"
    if head.lstrip(b" \t\r\n")[:1] == b"{":
        return "json"
    return "pickle" if head[:1] == b"\x80" and head[1:2] <= b"\x05" else "unknown"


def _ends_as_zip(source: Source) -> bool:
    """Whether an end record of a zip lies at the end, as readers of zips look for it."""
    count = min(source.size, 22 + 0xFFFF)
    tail = source.read(source.size - count, count)
    found = tail.rfind(_ZIP_END)
    if found < 0 or len(tail) - found < 22:
        return False
    comment = int.from_bytes(tail[found + 20 : found + 22], "little")
    return found + 22 + comment == len(tail)
