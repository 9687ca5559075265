"""Files on this machine: hashes, slices, folders as one archive, downloads that replace nothing.

Knows no service.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from tempfile import TemporaryDirectory
from uuid import uuid4

from .errors import WrongDigest

_CHUNK = 1 << 18
_ANY_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16


def sha256_of(path: Path) -> str:
    """Of the whole file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def size_of(path: Path) -> int:
    """Of a file, or of all files below a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(one.lstat().st_size for one in path.rglob("*") if one.is_file())


def slice_of(path: Path, start: int, end: int) -> Iterator[bytes]:
    """Bytes from ``start`` to before ``end``, in pieces."""
    with path.open("rb") as stream:
        stream.seek(start)
        left = end - start
        while left and (chunk := stream.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk


@contextmanager
def as_one_file(path: Path) -> Iterator[Path]:
    """The file itself; of a folder a zip of all its files, gone afterwards.

    The same folder gives the same bytes, so that the service knows them again.

    Raises:
        ValueError: it holds links, devices or nothing: what was meant cannot be sent.
    """
    if not path.is_dir():
        yield path
        return
    files = sorted(_files_below(path))
    if not files:
        raise ValueError(f"{path} holds no file")
    with TemporaryDirectory(prefix="clipvet-") as scratch:
        packed = Path(scratch) / f"{path.resolve().name or 'folder'}.zip"
        # Weights do not get smaller, and a reader need not unpack what is only stored.
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as box:
            for name in files:
                entry = zipfile.ZipInfo(name, _ANY_TIME)
                entry.external_attr = _MODE
                entry.file_size = (path / name).stat().st_size
                with (path / name).open("rb") as source, box.open(entry, "w") as sink:
                    while chunk := source.read(_CHUNK):
                        sink.write(chunk)
        yield packed


def _files_below(folder: Path) -> Iterator[str]:
    """Names of regular files, with slashes, from ``folder`` on."""
    for place, folders, names in os.walk(folder):
        here = Path(place)
        for name in [*folders, *names]:
            mode = (here / name).lstat().st_mode
            if name in names and S_ISREG(mode):
                yield (here / name).relative_to(folder).as_posix()
            elif name in names or (here / name).is_symlink():
                raise ValueError(
                    f"{here / name} is a link or no regular file; put the file itself in its place"
                )


def keep(pieces: Iterable[bytes], target: Path, sha256: str | None, *, overwrite: bool) -> None:
    """Write ``target`` whole or not at all.

    Raises:
        FileExistsError: it is there, and nobody said ``overwrite``.
        WrongDigest: the bytes do not hash to ``sha256``.
    """
    if not overwrite and os.path.lexists(target):
        raise FileExistsError(f"{target} exists; it is replaced only when told")
    partial = target.with_name(f".{uuid4().hex}.part")
    digest = hashlib.sha256()
    try:
        with partial.open("xb") as out:
            for piece in pieces:
                digest.update(piece)
                out.write(piece)
        if sha256 is not None and digest.hexdigest() != sha256:
            raise WrongDigest(f"{target.name} arrived with another sha256 than {sha256}")
        _move(partial, target, overwrite=overwrite)
    finally:
        partial.unlink(missing_ok=True)


def _move(partial: Path, target: Path, *, overwrite: bool) -> None:
    if not overwrite:
        try:
            # Unlike a rename, a link fails where somebody was faster.
            os.link(partial, target)
        except FileExistsError:
            raise
        except OSError:
            # A file system without links: what was looked at before the download must do.
            pass
        else:
            return
    partial.replace(target)
