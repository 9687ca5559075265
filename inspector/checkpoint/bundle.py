"""Which file of a Dassl folder is the checkpoint, and how to get it out of one zip or tar.

Dassl writes ``<folder>/model.pth.tar-<epoch>``, perhaps ``model-best.pth.tar``, and a text file
``checkpoint``; its users load the best one unless they name an epoch, and so do we. CLIP-LoRA writes
``lora_weights.pt``. BadCLIP's ``trigger`` folder is never a model: it is ignored and reported. One
level only: an archive inside an archive is refused. Knows no checkpoint format. Source:
``dassl/utils/torchtools.py``, MaxZanella/CLIP-LoRA ``loralib/utils.py``.
"""

from __future__ import annotations

import errno
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inspector.checkpoint import tars, zipfiles
from inspector.checkpoint.canonical import whole_file
from inspector.checkpoint.limits import MIB, Limits
from inspector.checkpoint.source import Source
from inspector.checkpoint.zipfiles import Member
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat

_EPOCH = re.compile(r"model\.pth\.tar-([0-9]{1,9})")
_LOOSE = (".pt", ".pth", ".pkl", ".bin", ".ckpt", ".safetensors", ".tar")
_RATIO = 200
"""How many times compressed data may grow before it counts as a bomb; weights shrink by under 2."""
TORCH_TAR = ("storages", "tensors", "pickle")
"""The members of a checkpoint of torch 0.1, which was a tar; torch still loads it, all pickles."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen member, and all others."""

    member: str
    ignored: tuple[str, ...]


def choose(names: Iterable[str]) -> Choice:
    """The checkpoint among the files ``names`` (relative, with forward slashes).

    Raises:
        UnsupportedFormat: there is none, or several of equal rank.
    """
    every = sorted(names)
    ranked: dict[tuple[int, int], list[str]] = {}
    for name in every:
        rank = _rank(name)
        if rank is not None:
            ranked.setdefault(rank, []).append(name)
    if not ranked:
        raise UnsupportedFormat("archive-no-checkpoint", "no checkpoint file inside")
    folders = {str(PurePosixPath(n).parent) for rank, ns in ranked.items() if rank[0] for n in ns}
    best = ranked[max(ranked)]
    if len(best) > 1 or len(folders) > 1:
        several = sorted(name for found in ranked.values() for name in found)
        raise UnsupportedFormat("archive-ambiguous", f"several checkpoints: {_listed(several)}")
    return Choice(best[0], tuple(name for name in every if name != best[0]))


def choose_in_directory(path: Path, limits: Limits) -> Choice:
    """The checkpoint below the directory ``path``; symbolic links are not followed.

    Raises:
        UnsupportedFormat: see :func:`choose`.
        LimitExceeded: too many files.
    """
    return choose(_files_below(path, limits))


def take_from_zip(source: Source, members: tuple[Member, ...], out: Path, limits: Limits) -> Choice:
    """Write the checkpoint in a zip to ``out``.

    Raises:
        UnsupportedFormat, MalformedArtifact, LimitExceeded: see the modules used.
        StorageFull: no space for the copy.
    """
    choice = choose(member.name for member in members if not member.is_directory)
    member = next(member for member in members if member.name == choice.member)
    limit = min(limits.artifact_bytes, MIB + _RATIO * member.stored_size)
    with whole_file(out) as file:
        for piece in zipfiles.content(source, member, limit):
            file.write(piece)
    return choice


def take_from_tar(source: Source, out: Path, limits: Limits) -> Choice:
    """Write the checkpoint in an uncompressed tar to ``out``.

    Raises:
        MalformedArtifact: the tar is broken, or has two members of one name.
        UnsupportedFormat, LimitExceeded: see :func:`choose`.
        StorageFull: no space for the copy.
    """
    files, others = tar_files(source, limits)
    choice = choose(files)
    member = files[choice.member]
    if member.size > limits.artifact_bytes:
        raise LimitExceeded(f"size of {member.name}", limits.artifact_bytes, member.size)
    with whole_file(out) as file:
        for piece in source.stream(member.offset, member.size):
            file.write(piece)
    return Choice(choice.member, tuple(sorted((*choice.ignored, *others))))


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


def _rank(name: str) -> tuple[int, int] | None:
    """Higher is better; None for what cannot be the model."""
    path = PurePosixPath(name)
    if "trigger" in path.parts[:-1] or "__MACOSX" in path.parts or path.name.startswith("._"):
        return None
    if path.name == "model-best.pth.tar":
        return (2, 0)
    if match := _EPOCH.fullmatch(path.name):
        return (1, int(match[1]))
    if path.name == "lora_weights.pt":
        return (1, 0)
    return (0, 0) if path.suffix in _LOOSE else None


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


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown}, … ({len(names)} in all)"
