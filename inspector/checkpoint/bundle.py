"""Which file of a Dassl folder is the checkpoint, and how to get it out of one zip or tar.

Dassl writes ``<folder>/model.pth.tar-<epoch>``, perhaps ``model-best.pth.tar``, and a text file
``checkpoint``; its users load the best one unless they name an epoch, and so do we. CLIP-LoRA writes
``lora_weights.pt``. BadCLIP's ``trigger`` folder is never a model: it is ignored and reported. One
level only: an archive inside an archive is refused. Knows no checkpoint format. Source:
``dassl/utils/torchtools.py``, MaxZanella/CLIP-LoRA ``loralib/utils.py``.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inspector.checkpoint import zipfiles
from inspector.checkpoint.canonical import whole_file
from inspector.checkpoint.limits import MIB, Limits
from inspector.checkpoint.source import Source, open_source
from inspector.checkpoint.zipfiles import Member
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat

_EPOCH = re.compile(r"model\.pth\.tar-([0-9]{1,9})")
_LOOSE = (".pt", ".pth", ".pkl", ".bin", ".ckpt", ".safetensors", ".tar")
_RATIO = 200
"""How many times a gzip may grow before it counts as a bomb; weights shrink by less than 2."""


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
    with whole_file(out) as file:
        for piece in zipfiles.content(source, member, limits.artifact_bytes):
            file.write(piece)
    return choice


def take_from_tar(path: Path, out: Path, limits: Limits) -> Choice:
    """Write the checkpoint in the uncompressed tar at ``path`` to ``out``.

    Raises:
        MalformedArtifact: the tar is broken, or has two members of one name.
        UnsupportedFormat, LimitExceeded: see :func:`choose`.
        StorageFull: no space for the copy.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            files: dict[str, tarfile.TarInfo] = {}
            others = []
            for count, info in enumerate(archive, 1):
                if count > limits.archive_members:
                    raise LimitExceeded("tar members", limits.archive_members, count)
                name = _safe_name(info.name)
                if name in files:
                    raise MalformedArtifact("archive-malformed", f"{name} stands twice")
                # Links, devices and sparse files are never read, only reported.
                if info.isreg() and not info.issparse():
                    files[name] = info
                elif not info.isdir():
                    others.append(name)
            choice = choose(files)
            _copy_member(archive, files[choice.member], out, limits)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise MalformedArtifact("archive-malformed", "the tar cannot be read") from error
    return Choice(choice.member, tuple(sorted((*choice.ignored, *others))))


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
    if "trigger" in path.parts[:-1] or "__MACOSX" in path.parts:
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
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                if count > limits.archive_members:
                    raise LimitExceeded("files in the folder", limits.archive_members, count)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path).relative_to(root).as_posix()


def _safe_name(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not name.isprintable() or name.startswith("/") or ".." in parts or "\\" in name:
        shown = name.encode("ascii", "backslashreplace").decode("ascii")[:200]
        raise MalformedArtifact("archive-malformed", f"a member is called {shown!r}")
    return str(PurePosixPath(name))


def _copy_member(
    archive: tarfile.TarFile, info: tarfile.TarInfo, out: Path, limits: Limits
) -> None:
    if info.size > limits.artifact_bytes:
        raise LimitExceeded(f"size of {info.name}", limits.artifact_bytes, info.size)
    member = archive.extractfile(info)
    if member is None:
        raise MalformedArtifact("archive-malformed", f"{info.name} cannot be read")
    with member, whole_file(out) as file:
        while piece := member.read(MIB):
            file.write(piece)
    with open_source(out) as copied:
        if copied.size != info.size:
            raise MalformedArtifact("archive-malformed", f"{info.name} is cut off")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown}, … ({len(names)} in all)"
