"""The files of a zip or tar whose pictures have their words beside them, by the reader's own code.

That code refuses what two programs may read in two ways, links, and names that lead out of the
archive: with words beside pictures it matters which is whose. Nothing is extracted; a file is read
into memory when it is asked for, under the limits of pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from inspector.checkpoint.formats import tars, zipfiles
from inspector.checkpoint.formats.compression import compression_of
from inspector.checkpoint.formats.names import shown
from inspector.checkpoint.formats.sniff import sniff
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.source import Source, open_source
from inspector.errors import ArtifactError, MalformedArtifact, UnsupportedFormat
from inspector.probes.sources import MAX_BYTES, MAX_RATIO, Picture

_LONGEST_MARK = 6


@contextmanager
def files_of(path: Path, most: int) -> Iterator[list[Picture]]:
    """All regular files of an archive, whatever they are, in its order.

    Raises:
        UnsupportedFormat: it is neither a zip nor a tar; `remedy` says what to do.
        MalformedArtifact: it breaks a rule of its format or of the reader, or holds a link.
        LimitExceeded: it has more members than `most`.
        OSError: it cannot be opened.
    """
    with open_source(path) as source:
        limits = Limits(archive_members=most)
        match sniff(source):
            case "zip":
                yield list(_of_zip(source, limits))
            case "tar":
                yield list(_of_tar(source, limits))
            case _:
                raise _neither(source)


def _neither(source: Source) -> UnsupportedFormat:
    packed = compression_of(source.read(0, min(_LONGEST_MARK, source.size)))
    if packed is None:
        return UnsupportedFormat("unsupported-format", "it is neither a folder, a zip nor a tar")
    said = f"it is compressed as a whole ({packed})"
    return UnsupportedFormat("unsupported-format", said, "unpack it once and give the tar in it")


def _of_zip(source: Source, limits: Limits) -> Iterator[Picture]:
    for member in zipfiles.read_members(source, limits):
        if not member.is_directory:
            read = partial(_zipped, source, member)
            yield Picture(member.name, member.size, member.stored_size, read)


def _of_tar(source: Source, limits: Limits) -> Iterator[Picture]:
    for member in tars.read_members(source, limits):
        if not member.is_file and not member.is_directory:
            said = f"{shown(member.name)} is a link or a device"
            raise MalformedArtifact("archive-malformed", said, "put the file itself in its place")
        if member.is_file:
            read = partial(_stored, source, member)
            yield Picture(member.name, member.size, member.size, read)


def _stored(source: Source, member: tars.TarMember, number: int) -> bytes:
    return source.read(member.offset, min(number, member.size))


def _zipped(source: Source, member: zipfiles.Member, number: int) -> bytes | None:
    """Its first bytes; None where it grows out of proportion, or is damaged before their end."""
    if member.size > MAX_RATIO * max(member.stored_size, 1):
        return None
    found = bytearray()
    try:
        for piece in zipfiles.content(source, member, MAX_BYTES):
            found += piece
            if len(found) > number:
                break
    except ArtifactError:
        return None
    return bytes(found[:number])
