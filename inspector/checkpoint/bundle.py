"""Folders and archives: the names of their files, and getting some of them out.

One level only: an archive inside an archive is refused. Files that only together make a checkpoint
are copied one after another. Knows no checkpoint format, and leaves the choice to
:mod:`inspector.checkpoint.choice`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from inspector.checkpoint.canonical import whole_file
from inspector.checkpoint.formats import tars, zipfiles
from inspector.checkpoint.formats.compression import Compression, decompressed, grown
from inspector.checkpoint.formats.zipfiles import Member
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.source import Source, open_source
from inspector.errors import LimitExceeded, MalformedArtifact

TORCH_TAR = ("storages", "tensors", "pickle")
"""The members of a checkpoint of torch 0.1, which was a tar; torch still loads it, all pickles."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where one of several files lies in the copy that holds them one after another."""

    name: str
    offset: int
    size: int


_M = TypeVar("_M", Member, tars.TarMember)


class Box(Protocol):
    """A folder or an archive: names of files, and a way to get at some of them."""

    outer: str
    names: tuple[str, ...]
    """Of regular files."""
    others: tuple[str, ...]
    """Of links and devices, which are never read."""

    def take(self, files: Sequence[str], out: Path) -> tuple[Path, tuple[Part, ...]]:
        """A path to the content of ``files``, one after another, and where each of them lies.

        Raises:
            MalformedArtifact, LimitExceeded: the box is broken there, or they are too large.
            StorageFull: no space for the copy ``out``.
        """

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of one file, which is copied nowhere.

        Raises:
            ArtifactError: it cannot be read.
        """


class Folder:
    """The files below a directory; symbolic links are named and not followed.

    Raises:
        LimitExceeded: too many files.
    """

    outer = "directory"

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        found = list(_files_below(path, limits))
        self.names = tuple(name for name, is_link in found if not is_link)
        self.others = tuple(name for name, is_link in found if is_link)
        self._limits = limits

    def take(self, files: Sequence[str], out: Path) -> tuple[Path, tuple[Part, ...]]:
        """The file itself where it is one; else a copy of all of them at ``out``."""
        if len(files) == 1:
            return self.path / files[0], ()
        sizes: dict[str, int] = {}
        with whole_file(out) as file:
            for name in files:
                with open_source(self.path / name) as source:
                    sizes[name] = source.size
                    _check_total(sizes, self._limits)
                    for piece in source.stream(0, source.size):
                        file.write(piece)
        return out, _placed(sizes)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Piece by piece, from the file itself."""
        with open_source(self.path / name) as source:
            yield from source.stream(0, source.size)


class ZipBox:
    """The files in a zip."""

    outer = "zip"
    others: tuple[str, ...] = ()

    def __init__(self, source: Source, members: tuple[Member, ...], limits: Limits) -> None:
        self._files = {member.name: member for member in members if not member.is_directory}
        self.names = tuple(self._files)
        self._source = source
        self._limits = limits

    def take(self, files: Sequence[str], out: Path) -> tuple[Path, tuple[Part, ...]]:
        """A copy at ``out``, decompressed and compared with its checksums."""
        return _copied([self._files[name] for name in files], self._content, out, self._limits)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Decompressed and compared with its checksum."""
        return self._content(self._files[name])

    def _content(self, member: Member) -> Iterator[bytes]:
        limit = grown(member.stored_size, self._limits)
        return zipfiles.content(self._source, member, limit)


class TarBox:
    """The files in an uncompressed tar.

    Raises:
        MalformedArtifact: the tar is broken, or has two members of one name.
        LimitExceeded: too many members.
    """

    def __init__(self, source: Source, limits: Limits, outer: str = "tar") -> None:
        members = list(tars.read_members(source, limits))
        self.outer = outer
        self._files = {member.name: member for member in members if member.is_file}
        self.names = tuple(self._files)
        self.others = tuple(m.name for m in members if not m.is_file and not m.is_directory)
        self._source = source
        self._limits = limits

    def take(self, files: Sequence[str], out: Path) -> tuple[Path, tuple[Part, ...]]:
        """A copy at ``out``."""
        return _copied([self._files[name] for name in files], self._content, out, self._limits)

    def pieces(self, name: str) -> Iterator[bytes]:
        """As they lie there."""
        return self._content(self._files[name])

    def _content(self, member: tars.TarMember) -> Iterator[bytes]:
        return self._source.stream(member.offset, member.size)

    def pickles_of_torch(self) -> Iterator[bytes]:
        """What torch 0.1's loader would unpickle, member by member, if this were its tar."""
        if TORCH_TAR[0] not in self._files:
            return
        for name in filter(self._files.__contains__, TORCH_TAR):
            member = self._files[name]
            size = min(member.size, self._limits.pickle_bytes)
            yield self._source.read(member.offset, size)


def _copied(
    members: Sequence[_M], content: Callable[[_M], Iterator[bytes]], out: Path, limits: Limits
) -> tuple[Path, tuple[Part, ...]]:
    """Write members of an archive to ``out``, one after another; see :meth:`Box.take`."""
    sizes = {member.name: member.size for member in members}
    _check_total(sizes, limits)
    with whole_file(out) as file:
        for member in members:
            for piece in content(member):
                file.write(piece)
    return out, _placed(sizes) if len(members) > 1 else ()


def _check_total(sizes: Mapping[str, int], limits: Limits) -> None:
    total = sum(sizes.values())
    if total > limits.artifact_bytes:
        raise LimitExceeded(f"size of {', '.join(sizes)}", limits.artifact_bytes, total)


def _placed(sizes: Mapping[str, int]) -> tuple[Part, ...]:
    """Parts of these sizes, one after another."""
    parts, offset = [], 0
    for name, size in sizes.items():
        parts.append(Part(name, offset, size))
        offset += size
    return tuple(parts)


def decompress(source: Source, kind: Compression, out: Path, limits: Limits) -> None:
    """Write the content of the compressed ``source`` to ``out``.

    Raises:
        MalformedArtifact, LimitExceeded: see
            :func:`~inspector.checkpoint.formats.compression.decompressed`.
        StorageFull: no space.
    """
    with whole_file(out) as file:
        for piece in decompressed(source, kind, limits):
            file.write(piece)


def _files_below(root: Path, limits: Limits) -> Iterator[tuple[str, bool]]:
    """Files and links, each with whether it is a link."""
    count = 0
    waiting = [root]
    while waiting:
        with _listing(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                if count > limits.archive_members:
                    raise LimitExceeded("files in the folder", limits.archive_members, count)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    yield Path(entry.path).relative_to(root).as_posix(), entry.is_symlink()


def _listing(folder: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    try:
        return os.scandir(folder)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise MalformedArtifact("archive-malformed", "folders lie too deep") from error
        raise
