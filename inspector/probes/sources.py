"""Where a user's probe pictures lie: the files of a folder, or the members of a zip.

Members are read into memory under limits on number, size and compression ratio and never written
anywhere, so their paths do not matter. Does not decode.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
MAX_DIRECTORY = 24 * 1024 * 1024
"""Of a zip: what it takes to name so many pictures. Python's zipfile makes objects
of all of it at once."""
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What zips of pictures use; the others unpack a hundred times as slowly."""

_LOCAL_HEADER = 30
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that has not been looked at.

    `size` bytes long, of which `stored` lie on disk; `read` gives as many of its first bytes as it
    is asked for, None where they cannot or may not be read.
    """

    name: str
    size: int
    stored: int
    read: Callable[[int], bytes | None]

    def __str__(self) -> str:
        return _short(self.name)


@contextmanager
def pictures_of(path: Path) -> Iterator[list[Picture]]:
    """All pictures by their suffix, below a folder or in a zip; other files are ignored.

    Raises:
        RequestError: neither a folder nor a zip, a zip whose directory is too large, names a
            picture twice or lets members overlap, or more pictures than 200,000.
    """
    if path.is_dir():
        yield _limited(in_folder(path))
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(_Archive(io.FileIO(path)))
            archive = stack.enter_context(zipfile.ZipFile(file))
            file.is_listed = True
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as problem:
            raise RequestError(
                "probes", f"{path.name!r} is neither a folder nor a readable zip"
            ) from problem
        _check_overlaps(archive)
        pictures = _limited(_in_zip(archive))
        names: set[str] = set()
        for picture in pictures:
            if picture.name in names:
                raise RequestError("probes", f"the zip holds {picture} twice")
            names.add(picture.name)
        yield pictures


class _Archive(io.BufferedReader):
    """A file for zipfile, which reads the directory at once, whatever length is declared."""

    is_listed = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.is_listed:
            return super().read(size)
        asked = MAX_DIRECTORY + 1 if size is None or size < 0 else size
        data = super().read(min(asked, MAX_DIRECTORY + 1))
        if len(data) > MAX_DIRECTORY:
            limit = MAX_DIRECTORY // (1024 * 1024)
            raise RequestError("probes", f"the directory of the zip is larger than {limit} MiB")
        return data


def _check_overlaps(archive: zipfile.ZipFile) -> None:
    """No two members share bytes: a kernel that all of them point to would be paid for once."""
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    ends = [*(member.header_offset for member in members[1:]), archive.start_dir]
    for member, end in zip(members, ends, strict=False):
        if member.header_offset + _LOCAL_HEADER + member.compress_size > end:
            raise RequestError("probes", f"the zip's member {_short(member.filename)} overlaps")


def _short(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else f"…{name[-_SHOWN:]}")


def _limited(pictures: Iterator[Picture]) -> list[Picture]:
    found = []
    for picture in pictures:
        found.append(picture)
        if len(found) > MAX_PICTURES:
            raise RequestError("probes", f"more than {MAX_PICTURES} pictures")
    return found


def in_folder(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[Picture]:
    """Regular files with these suffixes, below a folder."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            # A pipe or device would block for ever.
            if name.lower().endswith(suffixes) and path.is_file():
                size = path.stat().st_size
                shown = path.relative_to(folder).as_posix()
                yield Picture(shown, size, size, partial(_file, path))


def _file(path: Path, number: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(number)
    except OSError:
        return None


def _in_zip(archive: zipfile.ZipFile) -> Iterator[Picture]:
    for member in archive.infolist():
        if not member.is_dir() and member.filename.lower().endswith(SUFFIXES):
            yield Picture(
                member.filename,
                member.file_size,
                member.compress_size,
                partial(_member, archive, member),
            )


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, number: int) -> bytes | None:
    if member.file_size > min(MAX_BYTES, MAX_RATIO * max(member.compress_size, 1)):
        return None
    if member.compress_type not in _PACKED:
        return None
    try:
        with archive.open(member) as file:
            return file.read(number)
    except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError):
        return None  # Encrypted, or damaged.
