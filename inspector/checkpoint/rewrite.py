"""The vendor's own container with the values of some tensors replaced.

The file is copied byte for byte; then the bytes of the named tensors are overwritten in place and
the checksums of the records that changed are put right. Optimiser state, schedules and all else
stay as delivered. Afterwards the copy is read again: a tensor that shares values with a replaced
one would have changed too, and then there is no result. Knows no family.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from inspector.checkpoint.canonical import whole_file
from inspector.checkpoint.formats import safetensors
from inspector.checkpoint.limits import Limits, ReaderOptions
from inspector.checkpoint.opening import Opened, open_checkpoint
from inspector.checkpoint.read import choose_model, new_draft
from inspector.checkpoint.source import Source, open_source
from inspector.checkpoint.states import checked_views
from inspector.checkpoint.tensors import View, is_scattered, runs, scatter, values
from inspector.errors import ShapeMismatch, UnsafePickle, UnsupportedFormat
from inspector.findings import Severity


@dataclass(frozen=True, slots=True)
class RewritePaths:
    """The artifact, the safetensors with new values, the file to write, a directory for copies."""

    path: Path
    tensors: Path
    out: Path
    scratch: Path


def rewrite_here(paths: RewritePaths, options: ReaderOptions) -> None:
    """Write the checkpoint at ``path`` to ``out`` with the values in ``tensors``.

    Raises:
        UnsafePickle: a critical finding stands.
        ShapeMismatch, UnsupportedFormat: a tensor does not fit, or shares its values with another.
        ArtifactError: ``path`` or ``tensors`` cannot be read.
        StorageFull: no space for the copy.
    """
    limits = options.limits
    draft = new_draft(paths.path, options)
    with ExitStack() as stack:
        opened = open_checkpoint(paths.path, paths.scratch, draft, stack, options.member)
        if opened.kind == "several":
            raise UnsupportedFormat("unsupported-format", "a model in several files")
        model = choose_model(opened, draft, options.state).model
        views = {view.name: view for view in checked_views(model, opened.source)}
        critical = [f for f in draft.findings if f.severity is Severity.CRITICAL]
        if critical:
            raise UnsafePickle(critical)
        fresh_source = stack.enter_context(open_source(paths.tensors))
        fresh = {view.name: view for view in safetensors.read_views(fresh_source, limits)[0]}
        _check_fit(views, fresh)
        with whole_file(paths.out) as file:
            for piece in opened.source.stream(0, opened.source.size):
                file.write(piece)
            file.flush()
            with open_source(Path(file.name)) as copy:
                for name, view in fresh.items():
                    content = b"".join(values(fresh_source, view, limits))
                    _overwrite(file.fileno(), copy, views[name], content, limits)
                _mend_checksums(file.fileno(), copy, opened)
                _check_result(opened.source, copy, views, (fresh, fresh_source), limits)


def _check_fit(views: dict[str, View], fresh: dict[str, View]) -> None:
    for name, view in fresh.items():
        if name not in views:
            raise UnsupportedFormat("unsupported-tensor", f"the artifact has no tensor {name}")
        if view.shape != views[name].shape:
            shape = " x ".join(str(size) for size in views[name].shape)
            raise ShapeMismatch(name, shape, view.shape)
        if view.dtype != views[name].dtype:
            raise UnsupportedFormat(
                "unsupported-tensor", f"{name} is {views[name].dtype}, not {view.dtype}"
            )


def _overwrite(descriptor: int, copy: Source, view: View, content: bytes, limits: Limits) -> None:
    """Put ``content``, row-major, where ``view`` lies in the copy."""
    if is_scattered(view, limits):
        span = bytearray(copy.read(view.first_byte, view.reach * view.item_size))
        scatter(span, view, content)
        _write(descriptor, view.first_byte, span)
        return
    position = 0
    for first, count, _step in runs(view):
        size = count * view.item_size
        offset = view.first_byte + first * view.item_size
        _write(descriptor, offset, content[position : position + size])
        position += size


def _write(descriptor: int, offset: int, content: bytes | bytearray) -> None:
    remaining = memoryview(content)
    while remaining:
        written = os.pwrite(descriptor, remaining, offset)
        remaining, offset = remaining[written:], offset + written


def _mend_checksums(descriptor: int, copy: Source, opened: Opened) -> None:
    """Recompute the CRC of every record of a torch zip; other formats, and some zips, have none."""
    if not any(member.crc for member in opened.members):
        return
    for member in opened.members:
        crc = 0
        for piece in copy.stream(member.data_offset, member.size):
            crc = zlib.crc32(piece, crc)
        if crc != member.crc:
            for offset in member.crc_offsets:
                _write(descriptor, offset, crc.to_bytes(4, "little"))


def _check_result(
    before: Source,
    after: Source,
    views: dict[str, View],
    fresh: tuple[dict[str, View], Source],
    limits: Limits,
) -> None:
    """Compare every tensor of the copy with what it should hold now.

    Raises:
        UnsupportedFormat: one differs, because two tensors share values.
    """
    replaced, replacement = fresh
    for name, view in views.items():
        wanted = (replacement, replaced[name]) if name in replaced else (before, view)
        if _digest(after, view, limits) != _digest(*wanted, limits):
            raise UnsupportedFormat(
                "unsupported-tensor", f"{name} shares values with a replaced tensor"
            )


def _digest(source: Source, view: View, limits: Limits) -> bytes:
    digest = hashlib.sha256()
    for piece in values(source, view, limits):
        digest.update(piece)
    return digest.digest()
