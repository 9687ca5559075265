"""Finding the checkpoint in a folder and getting it out of one zip or tar.

One level only: an archive inside an archive is refused. Files that only together make a checkpoint
are copied one after another. Knows no checkpoint format, and leaves the choice to
:mod:`inspector.checkpoint.choice`.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from inspector.checkpoint.canonical import whole_file
from inspector.checkpoint.choice import Choice, choose
from inspector.checkpoint.formats import tars, zipfiles
from inspector.checkpoint.formats.zipfiles import Member
from inspector.checkpoint.limits import MIB, Limits
from inspector.checkpoint.source import Source, open_source
from inspector.errors import LimitExceeded, MalformedArtifact

_RATIO = 200
"""How many times compressed data may grow before it counts as a bomb; weights shrink by under 2."""
TORCH_TAR = ("storages", "tensors", "pickle")
"""The members of a checkpoint of torch 0.1, which was a tar; torch still loads it, all pickles."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where one of several files lies in the copy that holds them one after another."""

    name: str
    offset: int
    size: int


def choose_in_directory(path: Path, limits: Limits) -> Choice:
    """The checkpoint below the directory ``path``; symbolic links are not followed.

    Raises:
        UnsupportedFormat: see :func:`inspector.checkpoint.choice.choose`.
        LimitExceeded: too many files.
    """
    return choose(_files_below(path, limits))


def take_from_directory(path: Path, choice: Choice, out: Path, limits: Limits) -> tuple[Part, ...]:
    """Write the parts of a checkpoint below ``path`` to ``out``, one after another.

    Raises:
        LimitExceeded: they are too large together.
        StorageFull: no space for the copy.
    """
    sizes: dict[str, int] = {}
    with whole_file(out) as file:
        for name in choice.parts:
            with open_source(path / name) as source:
                sizes[name] = source.size
                _check_total(sizes, limits)
                for piece in source.stream(0, source.size):
                    file.write(piece)
    return _placed(sizes)


def take_from_zip(
    source: Source, members: tuple[Member, ...], out: Path, limits: Limits
) -> tuple[Choice, tuple[Part, ...]]:
    """Write the checkpoint in a zip to ``out``, parts of one behind one another.

    Raises:
        UnsupportedFormat, MalformedArtifact, LimitExceeded: see the modules used.
        StorageFull: no space for the copy.
    """
    files = {member.name: member for member in members if not member.is_directory}
    choice = choose(files)
    _check_total({name: files[name].size for name in choice.parts}, limits)
    with whole_file(out) as file:
        for name in choice.parts or (choice.member,):
            limit = min(limits.artifact_bytes, MIB + _RATIO * files[name].stored_size)
            for piece in zipfiles.content(source, files[name], limit):
                file.write(piece)
    return choice, _placed({name: files[name].size for name in choice.parts})


def take_from_tar(source: Source, out: Path, limits: Limits) -> tuple[Choice, tuple[Part, ...]]:
    """Write the checkpoint in an uncompressed tar to ``out``, parts of one behind one another.

    Raises:
        MalformedArtifact: the tar is broken, or has two members of one name.
        UnsupportedFormat, LimitExceeded: see :func:`inspector.checkpoint.choice.choose`.
        StorageFull: no space for the copy.
    """
    files, others = tar_files(source, limits)
    choice = choose(files)
    chosen = choice.parts or (choice.member,)
    _check_total({name: files[name].size for name in chosen}, limits)
    with whole_file(out) as file:
        for member in map(files.__getitem__, chosen):
            for piece in source.stream(member.offset, member.size):
                file.write(piece)
    parts = _placed({name: files[name].size for name in choice.parts})
    return replace(choice, ignored=tuple(sorted((*choice.ignored, *others)))), parts


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


def tar_files(source: Source, limits: Limits) -> tuple[dict[str, tars.TarMember], list[str]]:
    """The regular files of a tar by name, and the names of links and devices, never read."""
    members = list(tars.read_members(source, limits))
    files = {member.name: member for member in members if member.is_file}
    others = [m.name for m in members if not m.is_file and not m.is_directory]
    return files, others


def decompress(source: Source, out: Path, limits: Limits) -> None:
    """Write the content of the gzip ``source`` to ``out``.

    Raises:
        MalformedArtifact: broken or truncated data, or data after its end.
        LimitExceeded: it grows over ``limits.artifact_bytes`` or 200 times its size.
        StorageFull: no space.
    """
    limit = min(limits.artifact_bytes, MIB + _RATIO * source.size)
    machine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    written = 0
    try:
        with whole_file(out) as file:
            for piece in source.stream(0, source.size):
                while piece:
                    plain = machine.decompress(piece, MIB)
                    written += len(plain)
                    if written > limit:
                        raise LimitExceeded("decompressed bytes", limit, written)
                    file.write(plain)
                    piece = machine.unconsumed_tail
                if machine.unused_data:
                    break
    except zlib.error as error:
        raise MalformedArtifact("archive-malformed", "the gzip is broken") from error
    if not machine.eof or machine.unused_data:
        out.unlink()
        raise MalformedArtifact("archive-malformed", "the gzip is cut off or followed by bytes")


def _files_below(root: Path, limits: Limits) -> Iterator[str]:
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
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path).relative_to(root).as_posix()


def _listing(folder: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    try:
        return os.scandir(folder)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise MalformedArtifact("archive-malformed", "folders lie too deep") from error
        raise
