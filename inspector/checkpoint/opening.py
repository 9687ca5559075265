"""From a path to the content of one checkpoint, whatever it is wrapped in.

Directory, zip, tar, and gzip, xz or bzip2 around a tar or one file are opened one level deep; then
one function per checkpoint format. Nothing is copied but the chosen member of an archive. Knows no
family and does not choose between several mappings of tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from inspector.checkpoint import bundle, content, several
from inspector.checkpoint.bundle import Box, Part
from inspector.checkpoint.choice import Choice, choose, is_candidate
from inspector.checkpoint.content import Content
from inspector.checkpoint.draft import Draft
from inspector.checkpoint.formats import (
    foreign,
    legacy,
    safetensors,
    torchscript,
    torchzip,
    zipfiles,
)  # fmt: skip
from inspector.checkpoint.formats.compression import SUFFIXES, Compression
from inspector.checkpoint.formats.sniff import Kind, sniff
from inspector.checkpoint.formats.zipfiles import Member
from inspector.checkpoint.pickles.evidence import gather, would_run
from inspector.checkpoint.pickles.rebuild import declared_storages
from inspector.checkpoint.pickles.walker import Ledger, walk
from inspector.checkpoint.reading import ContainerInfo
from inspector.checkpoint.source import Source, open_source, sha256_of
from inspector.checkpoint.wording import printable
from inspector.errors import ArtifactError, LimitExceeded, MalformedArtifact, UnsupportedFormat

MEMBER_NAME, TAR_NAME, RIVAL_NAME = "member.tmp", "archive.tmp", "rival.tmp"
_IGNORED_SHOWN, _LINKS_SHOWN = 200, 10
TEMPORARY_NAMES = (MEMBER_NAME, TAR_NAME, RIVAL_NAME)
_NESTED = ("gzip", "xz", "bzip2", "tar")


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file, what it is, its members when it is a zip, its parts when it is several.

    ``box`` is what the file lay in, ``choice`` how it was chosen there.
    """

    path: Path
    source: Source
    kind: Kind
    members: tuple[Member, ...] = ()
    parts: tuple[Part, ...] = ()
    box: Box | None = None
    choice: Choice | None = None

    @property
    def is_archive(self) -> bool:
        """Whether the file holds other files rather than tensors."""
        is_folder = self.kind == "zip" and not torchzip.looks_like_torch(self.members)
        return is_folder or self.kind in _NESTED


def open_checkpoint(
    path: Path, scratch: Path, draft: Draft, stack: ExitStack, member: str | None = None
) -> Opened:
    """Find and open the checkpoint at ``path``, noting in ``draft`` where it lay.

    A member of an archive is copied into the directory ``scratch``; ``stack`` closes the files.

    Args:
        member: the file of a folder or archive that is wanted, None for the one that loaders take.

    Raises:
        ArtifactError: why there is none.
        StorageFull: no space for the copy.
    """
    if path.is_dir():
        return _chosen(bundle.Folder(path, draft.limits), scratch, draft, stack, member)
    source = stack.enter_context(open_source(path))
    draft.size = source.size
    if source.size > draft.limits.artifact_bytes:
        raise LimitExceeded("artifact bytes", draft.limits.artifact_bytes, source.size)
    draft.sha256 = sha256_of(source)
    opened = _recognise(path, source, draft)
    if opened.kind in SUFFIXES:
        return _decompressed(opened, scratch, draft, stack, member)
    if not opened.is_archive:
        if member is not None:
            raise UnsupportedFormat("archive-no-checkpoint", "one file, which has no members")
        return opened
    return _chosen(_box(opened, draft), scratch, draft, stack, member)


def open_rival(
    opened: Opened, rival: Choice, scratch: Path, draft: Draft, stack: ExitStack
) -> Opened:
    """Open what could be taken in place of the chosen member; see :func:`open_checkpoint`."""
    assert opened.box is not None
    path, parts = opened.box.take(rival.parts or (rival.member,), scratch / RIVAL_NAME)
    return _inner(path, parts, opened.box, rival, draft, stack)


def content_of(opened: Opened, draft: Draft) -> Content:
    """What an opened checkpoint holds; globals go to ``draft``.

    Raises:
        ArtifactError: why it cannot be read.
    """
    draft.format = _FORMATS[opened.kind]
    try:
        return _READERS[opened.kind](opened, draft)
    except ArtifactError as error:
        # Without its frames, which hold what was walked.
        problem = error.with_traceback(None)
    # A pickle that is too long has cost its share, and was looked through as far as it goes.
    is_known = isinstance(problem, LimitExceeded) and problem.resource.startswith("pickle")
    is_known |= would_run(draft.ledger) or torchzip.is_left_to_torchscript(opened.members)
    if not is_known:
        _gather_all(opened.source, draft)
    raise problem


def _recognise(path: Path, source: Source, draft: Draft) -> Opened:
    try:
        kind = sniff(source)
        members = zipfiles.read_members(source, draft.limits) if kind == "zip" else ()
    except ArtifactError:
        _gather_all(source, draft)
        raise
    return Opened(path, source, kind, members)


def _gather_all(source: Source, draft: Draft) -> None:
    """Note what a file that is refused would run: it may be readable to others, or be mended."""
    limits, found = draft.limits, Ledger(draft.limits.globals)
    try:
        gather(source.read(0, min(source.size, limits.pickle_bytes)), 0, found, limits)
        for data in zipfiles.salvaged_pickles(source, limits):
            gather(data, 0, found, limits)
    except ArtifactError:
        pass  # What was found until then counts.
    if would_run(found):
        draft.ledger.absorb(found)


def _box(opened: Opened, draft: Draft) -> Box:
    if opened.kind == "tar":
        return _tar(opened.source, draft, "tar")
    what = foreign.name_of_zip(member.name for member in opened.members)
    if what:
        raise UnsupportedFormat("unsupported-format", f"{what}, which we do not read")
    return bundle.ZipBox(opened.source, opened.members, draft.limits)


def _tar(source: Source, draft: Draft, outer: str) -> Box:
    box = bundle.TarBox(source, draft.limits, outer)
    pickles = list(box.pickles_of_torch())
    if pickles:
        # torch loads one member after another, and would run the first before it misses the next.
        for data in pickles:
            gather(data, 0, draft.ledger, draft.limits)
        raise UnsupportedFormat("unsupported-format", "a tar as torch 0.1 wrote it")
    return box


def _decompressed(
    packed: Opened, scratch: Path, draft: Draft, stack: ExitStack, member: str | None
) -> Opened:
    """The checkpoint in a compressed file, or in the tar that it is."""
    kind: Compression = packed.kind  # type: ignore[assignment]
    plain = scratch / TAR_NAME
    bundle.decompress(packed.source, kind, plain, draft.limits)
    source = stack.enter_context(open_source(plain))
    opened = _recognise(plain, source, draft)
    outer = SUFFIXES[kind][0].removeprefix(".")
    if opened.kind == "tar":
        return _chosen(_tar(source, draft, f"tar.{outer}"), scratch, draft, stack, member)
    name = packed.path.name
    for suffix in SUFFIXES[kind]:
        name = name.removesuffix(suffix)
    draft.container = ContainerInfo(outer, printable(name))
    if opened.is_archive:
        raise MalformedArtifact("archive-nested", f"{draft.container.member} is an archive")
    if member is not None:
        raise UnsupportedFormat("archive-no-checkpoint", "one compressed file, without members")
    return opened


def _chosen(box: Box, scratch: Path, draft: Draft, stack: ExitStack, member: str | None) -> Opened:
    """The chosen file of a folder or archive, opened."""
    choice = _choose(box, member)
    draft.container = _contained(box, choice)
    path, parts = box.take(choice.parts or (choice.member,), scratch / MEMBER_NAME)
    opened = _inner(path, parts, box, choice, draft, stack)
    if box.outer == "directory":
        # A folder has no bytes of its own; those of the chosen file stand for it.
        draft.size, draft.sha256 = opened.source.size, sha256_of(opened.source)
    return opened


def _choose(box: Box, member: str | None) -> Choice:
    try:
        return choose(box.names, member)
    except UnsupportedFormat as error:
        links = [name for name in box.others if is_candidate(name)]
        if error.finding_id != "archive-no-checkpoint" or not links:
            raise
        shown = ", ".join(map(printable, links[:_LINKS_SHOWN]))
        raise UnsupportedFormat(
            error.finding_id,
            f"{error.detail}, but links to files, which are not followed: {shown}",
            remedy="Copy the folder with its links resolved (cp -rL) and give the copy.",
        ) from error


def _inner(
    path: Path, parts: tuple[Part, ...], box: Box, choice: Choice, draft: Draft, stack: ExitStack
) -> Opened:
    source = stack.enter_context(open_source(path))
    if source.size > draft.limits.artifact_bytes:
        raise LimitExceeded("artifact bytes", draft.limits.artifact_bytes, source.size)
    if parts:
        return Opened(path, source, "several", (), parts, box, choice)
    opened = _recognise(path, source, draft)
    if opened.is_archive:
        raise MalformedArtifact("archive-nested", f"{printable(choice.member)} is an archive")
    return Opened(path, source, opened.kind, opened.members, (), box, choice)


def _contained(box: Box, choice: Choice) -> ContainerInfo:
    every = tuple(sorted((*choice.ignored, *box.others)))
    ignored = tuple(printable(name) for name in every[:_IGNORED_SHOWN])
    if len(every) > _IGNORED_SHOWN:
        ignored += (f"... and {len(every) - _IGNORED_SHOWN} more",)
    members = choice.parts or (choice.member,)
    return ContainerInfo(box.outer, ", ".join(printable(name) for name in members), ignored)


def _from_torch_zip(opened: Opened, draft: Draft) -> Content:
    if draft.role == "backbone" and torchzip.is_program(opened.members):
        program = (opened.source, opened.members, draft.ledger, draft.limits)
        return content.of_views(torchscript.read_program(*program))
    archive = torchzip.open_torch_zip(opened.source, opened.members, draft.limits)
    if not archive.has_checksums:
        draft.add("zip-no-checksums", "no record of the file has a checksum")
    walked = walk(archive.pickle, draft.ledger, draft.limits)
    _check_end(walked.end, archive.pickle, draft)
    torchzip.check_storages(declared_storages(walked.persistents), archive.storages)
    return content.of_pickle(walked.value, archive.storages, draft.limits)


def _from_legacy(opened: Opened, draft: Draft) -> Content:
    file = legacy.open_legacy(opened.source, draft.ledger, draft.limits)
    return content.of_pickle(file.value, file.storages, draft.limits)


def _from_safetensors(opened: Opened, draft: Draft) -> Content:
    views, metadata = safetensors.read_views(opened.source, draft.limits)
    _check_no_pickle(opened.source, draft)
    return content.of_views(views, metadata)


def _check_no_pickle(source: Source, draft: Draft) -> None:
    """Refuse a header that torch.load, which asks no suffix, would run as a pickle.

    Raises:
        MalformedArtifact: it is one.
    """
    found = Ledger(draft.limits.globals)
    gather(source.read(0, min(source.size, draft.limits.header_bytes)), 0, found, draft.limits)
    if found.entries:
        draft.ledger.absorb(found)
        raise MalformedArtifact("polyglot", "the file is safetensors and a pickle at once")


def _from_several(opened: Opened, draft: Draft) -> Content:
    kinds = [sniff(opened.source.part(part.offset, part.size)) for part in opened.parts]
    draft.format = _FORMATS[next((kind for kind in kinds if kind != "json"), "unknown")]
    return several.content_of(opened.source, opened.parts, draft)


def _from_json(opened: Opened, draft: Draft) -> Content:
    return content.of_views([several.statement(opened.source, draft)])


def _from_pickle(opened: Opened, draft: Draft) -> Content:
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


def _from_unknown(opened: Opened, draft: Draft) -> Content:
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
    "several": "unknown",
    "json": "json",
    "unknown": "unknown",
}
_READERS: dict[Kind, Callable[[Opened, Draft], Content]] = {
    "zip": _from_torch_zip,
    "torch-legacy": _from_legacy,
    "safetensors": _from_safetensors,
    "pickle": _from_pickle,
    "several": _from_several,
    "json": _from_json,
    "unknown": _from_unknown,
}
