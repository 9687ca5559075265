"""Where a user's probe pictures lie: the files of a folder, or the members of a zip.

Members are read into memory under limits on number, size and compression ratio and never written
anywhere, so their paths do not matter. Does not decode.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inspector.errors import RequestError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MAX_PICTURES = 200_000
MAX_BYTES = 64 * 1024 * 1024
"""Of one picture, before decoding."""
MAX_RATIO = 1000
"""Largest expansion of a zip member; flat bitmaps come close to it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A name for ordering, and its bytes on demand: None where they cannot or may not be read."""

    name: str
    read: Callable[[], bytes | None]


@contextmanager
def pictures_of(path: Path) -> Iterator[list[Picture]]:
    """All pictures by their suffix, below a folder or in a zip; other files are ignored.

    Raises:
        RequestError: neither a folder nor a zip, or more pictures than 200,000.
    """
    if path.is_dir():
        yield _limited(_in_folder(path))
        return
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as problem:
        raise RequestError(
            "probes", f"{path.name!r} is neither a folder nor a readable zip"
        ) from problem
    with archive:
        yield _limited(_in_zip(archive))


def _limited(pictures: Iterator[Picture]) -> list[Picture]:
    found = []
    for picture in pictures:
        found.append(picture)
        if len(found) > MAX_PICTURES:
            raise RequestError("probes", f"more than {MAX_PICTURES} pictures")
    return found


def _in_folder(folder: Path) -> Iterator[Picture]:
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            # A pipe or device would block for ever.
            if name.lower().endswith(SUFFIXES) and path.is_file():
                yield Picture(path.relative_to(folder).as_posix(), partial(_file, path))


def _file(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        return None
    return data if len(data) <= MAX_BYTES else None


def _in_zip(archive: zipfile.ZipFile) -> Iterator[Picture]:
    for member in archive.infolist():
        if not member.is_dir() and member.filename.lower().endswith(SUFFIXES):
            yield Picture(member.filename, partial(_member, archive, member))


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    if member.file_size > min(MAX_BYTES, MAX_RATIO * max(member.compress_size, 1)):
        return None
    try:
        with archive.open(member) as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError):
        return None  # Encrypted, damaged, or of an unknown compression.
    return data if len(data) <= MAX_BYTES else None
