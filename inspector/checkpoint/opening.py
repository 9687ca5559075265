"""From a path to the described tensors of one checkpoint, whatever it is wrapped in.

Directory, zip, tar and tar.gz are opened one level deep; then one function per checkpoint format.
Nothing is copied but the chosen member of an archive. Knows no family.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from inspector.checkpoint import bundle, several
from inspector.checkpoint.bundle import Part
from inspector.checkpoint.choice import Choice
from inspector.checkpoint.draft import Draft
from inspector.checkpoint.formats import (
    foreign,
    legacy,
    safetensors,
    torchscript,
    torchzip,
    zipfiles,
)  # fmt: skip
from inspector.checkpoint.formats.sniff import Kind, sniff
from inspector.checkpoint.formats.zipfiles import Member
from inspector.checkpoint.limits import MIB
from inspector.checkpoint.pickles.evidence import gather, would_run
from inspector.checkpoint.pickles.rebuild import declared_storages
from inspector.checkpoint.pickles.statedict import StateDict, scalars, state_dict
from inspector.checkpoint.pickles.walker import Ledger, walk
from inspector.checkpoint.reading import ContainerInfo
from inspector.checkpoint.source import Source, open_source, sha256_of
from inspector.checkpoint.tensors import View, run_count
from inspector.checkpoint.wording import printable
from inspector.errors import ArtifactError, LimitExceeded, MalformedArtifact, UnsupportedFormat

MEMBER_NAME, TAR_NAME = "member.tmp", "archive.tmp"
_IGNORED_SHOWN = 200
_SHARED, _SMALL_BYTES = 4, 64 * MIB
_RUNS = 8_000_000
"""Each piece of a transposed tensor takes a microsecond; a whole ResNet in channels-last has 2e6."""
TEMPORARY_NAMES = (MEMBER_NAME, TAR_NAME)


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file, what it is, its members when it is a zip, its parts when it is several."""

    path: Path
    source: Source
    kind: Kind
    members: tuple[Member, ...]
    parts: tuple[Part, ...] = ()

    @property
    def is_archive(self) -> bool:
        """Whether the file holds other files rather than tensors."""
        is_folder = self.kind == "zip" and not torchzip.looks_like_torch(self.members)
        return is_folder or self.kind in ("gzip", "tar")


def open_checkpoint(path: Path, scratch: Path, draft: Draft, stack: ExitStack) -> Opened:
    """Find and open the checkpoint at ``path``, noting in ``draft`` where it lay.

    A member of an archive is copied into the directory ``scratch``; ``stack`` closes the files.

    Raises:
        ArtifactError: why there is none.
        StorageFull: no space for the copy.
    """
    file = path
    if path.is_dir():
        choice = bundle.choose_in_directory(path, draft.limits)
        draft.container = _contained("directory", choice)
        file = path / choice.member
        if choice.parts:
            file = scratch / MEMBER_NAME
            return _together(file, path, choice, stack, draft)
    source = stack.enter_context(open_source(file))
    draft.size = source.size
    if source.size > draft.limits.artifact_bytes:
        raise LimitExceeded("artifact bytes", draft.limits.artifact_bytes, source.size)
    draft.sha256 = sha256_of(source)
    opened = _recognise(file, source, draft)
    if not opened.is_archive:
        return opened
    if draft.container.outer:
        raise MalformedArtifact("archive-nested", f"{draft.container.member} is an archive")
    inner, parts = _unpack(opened, scratch, draft)
    if parts:
        source = stack.enter_context(open_source(inner))
        return Opened(inner, source, "several", (), parts)
    opened = _recognise(inner, stack.enter_context(open_source(inner)), draft)
    if opened.is_archive:
        raise MalformedArtifact("archive-nested", f"{draft.container.member} is an archive")
    return opened


def read_views(opened: Opened, draft: Draft) -> tuple[View, ...]:
    """The tensors of an opened checkpoint; globals and remarks go to ``draft``.

    Raises:
        ArtifactError: why they cannot be read.
    """
    draft.format = _FORMATS[opened.kind]
    found = _READERS[opened.kind](opened, draft)
    draft.metadata = found.metadata
    draft.remarks.extend(found.findings)
    total, limit = sum(view.size for view in found.views), _total_limit(opened.source.size)
    if total > limit:
        raise LimitExceeded("bytes of all tensors", limit, total)
    scattered = sum(run_count(view) for view in found.views)
    if scattered > _RUNS:
        raise LimitExceeded("pieces that the tensors lie in", _RUNS, scattered)
    return found.views


def _total_limit(size: int) -> int:
    """Bytes that the tensors in a file of ``size`` bytes may have: some share storages, not all."""
    return _SHARED * size + _SMALL_BYTES


def _recognise(path: Path, source: Source, draft: Draft) -> Opened:
    kind = sniff(source)
    members = zipfiles.read_members(source, draft.limits) if kind == "zip" else ()
    return Opened(path, source, kind, members)


def _together(copy: Path, folder: Path, choice: Choice, stack: ExitStack, draft: Draft) -> Opened:
    """Files of a folder that belong together; size and hash are those of their copy."""
    parts = bundle.take_from_directory(folder, choice, copy, draft.limits)
    source = stack.enter_context(open_source(copy))
    draft.size, draft.sha256 = source.size, sha256_of(source)
    return Opened(copy, source, "several", (), parts)


def _unpack(opened: Opened, scratch: Path, draft: Draft) -> tuple[Path, tuple[Part, ...]]:
    """Copy the checkpoint in an archive to ``scratch``."""
    out, limits = scratch / MEMBER_NAME, draft.limits
    if opened.kind == "zip":
        what = foreign.name_of_zip(member.name for member in opened.members)
        if what:
            raise UnsupportedFormat("unsupported-format", f"{what}, which we do not read")
        outer, taken = "zip", bundle.take_from_zip(opened.source, opened.members, out, limits)
    elif opened.kind == "tar":
        outer, taken = "tar", _from_tar(opened.source, out, draft)
    else:
        plain = scratch / TAR_NAME
        bundle.decompress(opened.source, plain, limits)
        with open_source(plain) as source:
            if sniff(source) != "tar":
                raise UnsupportedFormat("unsupported-format", "a gzip that holds no tar")
            outer, taken = "tar.gz", _from_tar(source, out, draft)
    choice, parts = taken
    draft.container = _contained(outer, choice)
    return out, parts


def _from_tar(source: Source, out: Path, draft: Draft) -> tuple[Choice, tuple[Part, ...]]:
    files, _others = bundle.tar_files(source, draft.limits)
    if bundle.TORCH_TAR[0] in files:
        # torch loads one member after another, and would run the first before it misses the next.
        for name in filter(files.__contains__, bundle.TORCH_TAR):
            size = min(files[name].size, draft.limits.pickle_bytes)
            gather(source.read(files[name].offset, size), 0, draft.ledger, draft.limits)
        raise UnsupportedFormat("unsupported-format", "a tar as torch 0.1 wrote it")
    return bundle.take_from_tar(source, out, draft.limits)


def _contained(outer: str, choice: Choice) -> ContainerInfo:
    ignored = tuple(printable(name) for name in choice.ignored[:_IGNORED_SHOWN])
    if len(choice.ignored) > _IGNORED_SHOWN:
        ignored += (f"... and {len(choice.ignored) - _IGNORED_SHOWN} more",)
    members = choice.parts or (choice.member,)
    return ContainerInfo(outer, ", ".join(printable(name) for name in members), ignored)


def _from_torch_zip(opened: Opened, draft: Draft) -> StateDict:
    if draft.role == "backbone" and torchzip.is_program(opened.members):
        return torchscript.read_program(opened.source, opened.members, draft.ledger, draft.limits)
    archive = torchzip.open_torch_zip(opened.source, opened.members, draft.limits)
    walked = walk(archive.pickle, draft.ledger, draft.limits)
    _check_end(walked.end, archive.pickle, draft)
    torchzip.check_storages(declared_storages(walked.persistents), archive.storages)
    return state_dict(walked.value, archive.storages, draft.limits)


def _from_legacy(opened: Opened, draft: Draft) -> StateDict:
    file = legacy.open_legacy(opened.source, draft.ledger, draft.limits)
    return state_dict(file.value, file.storages, draft.limits)


def _from_safetensors(opened: Opened, draft: Draft) -> StateDict:
    views, metadata = safetensors.read_views(opened.source, draft.limits)
    return StateDict(views, scalars(metadata), ())


def _from_several(opened: Opened, draft: Draft) -> StateDict:
    return StateDict(several.bare_tensors(opened.source, opened.parts, draft), {}, ())


def _from_json(opened: Opened, draft: Draft) -> StateDict:
    return StateDict((several.statement(opened.source, draft),), {}, ())


def _from_pickle(opened: Opened, draft: Draft) -> StateDict:
    """Walk a bare pickle for its globals; its tensors are out of reach without running it."""
    size = opened.source.size
    if size > draft.limits.pickle_bytes:
        raise LimitExceeded("pickle bytes", draft.limits.pickle_bytes, size)
    data = opened.source.read(0, size)
    walked = walk(data, draft.ledger, draft.limits)
    _check_end(walked.end, data, draft)
    raise UnsupportedFormat(
        "unsupported-format", "a bare pickle; save the tensors with torch.save or as safetensors"
    )


def _from_unknown(opened: Opened, draft: Draft) -> StateDict:
    """A pickle of protocol 0 or 1 has no mark; anything else is no checkpoint."""
    size = opened.source.size
    head = opened.source.read(0, min(size, draft.limits.pickle_bytes))
    found = Ledger(draft.limits.globals)
    try:
        is_pickle = walk(head, found, draft.limits).end == size
    except ArtifactError:
        is_pickle = False
    # A text may begin like a pickle; one that would run something by chance does not exist.
    if is_pickle or would_run(found):
        draft.format = "pickle"
        return _from_pickle(opened, draft)
    raise foreign.refusal(head)


def _check_end(end: int, data: bytes, draft: Draft) -> None:
    if end != len(data):
        gather(data, end, draft.ledger, draft.limits)
        raise MalformedArtifact(
            "pickle-trailing-bytes", f"{len(data) - end} bytes follow the pickle"
        )


_FORMATS: dict[Kind, str] = {
    "zip": "torch-zip",
    "torch-legacy": "torch-legacy",
    "safetensors": "safetensors",
    "pickle": "pickle",
    "several": "torch-zip",
    "json": "json",
    "unknown": "unknown",
}
_READERS: dict[Kind, Callable[[Opened, Draft], StateDict]] = {
    "zip": _from_torch_zip,
    "torch-legacy": _from_legacy,
    "safetensors": _from_safetensors,
    "pickle": _from_pickle,
    "several": _from_several,
    "json": _from_json,
    "unknown": _from_unknown,
}
