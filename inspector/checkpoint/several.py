"""Checkpoints that are not one file of torch's: several files of a bare tensor each, or a JSON.

The files of the first kind lie behind one another in one copy (:mod:`inspector.checkpoint.bundle`);
each tensor is called after its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inspector.checkpoint.bundle import Part
from inspector.checkpoint.choice import part_name
from inspector.checkpoint.draft import Draft
from inspector.checkpoint.families.zero_shot import STATEMENT, check_statement
from inspector.checkpoint.formats import legacy, torchzip, zipfiles
from inspector.checkpoint.formats.sniff import sniff
from inspector.checkpoint.pickles.rebuild import declared_storages, is_tensor, tensor_view
from inspector.checkpoint.pickles.walker import walk
from inspector.checkpoint.source import Source
from inspector.checkpoint.tensors import Storage, View
from inspector.errors import MalformedArtifact, UnsupportedFormat


def bare_tensors(source: Source, parts: tuple[Part, ...], draft: Draft) -> tuple[View, ...]:
    """The tensor of each part, with storages in the whole ``source``.

    Raises:
        ArtifactError: a part was not saved by torch, or is no tensor.
    """
    views = []
    for part in parts:
        view = _bare(source.part(part.offset, part.size), part, draft)
        storage = Storage(part.offset + view.storage.offset, view.storage.size)
        views.append(replace(view, storage=storage))
    return tuple(views)


def statement(source: Source, draft: Draft) -> View:
    """A JSON of zero-shot prompts as one tensor of its bytes.

    Raises:
        LimitExceeded, UnsupportedFormat: see :func:`check_statement`.
    """
    size = source.size
    check_statement(source.read(0, min(size, draft.limits.string_bytes + 1)), draft.limits)
    return View(STATEMENT, "U8", (size,), (1,), 0, Storage(0, size))


def _bare(source: Source, part: Part, draft: Draft) -> View:
    value, storages = _content(source, part, draft)
    if not is_tensor(value):
        raise UnsupportedFormat("no-state-dict", f"{part.name} is no tensor")
    return tensor_view(part_name(part.name) or part.name, value, storages, draft.limits)


def _content(source: Source, part: Part, draft: Draft) -> tuple[object, Mapping[str, Storage]]:
    kind = sniff(source)
    if kind == "torch-legacy":
        file = legacy.open_legacy(source, draft.ledger, draft.limits)
        return file.value, file.storages
    members = zipfiles.read_members(source, draft.limits) if kind == "zip" else ()
    if not torchzip.looks_like_torch(members):
        raise UnsupportedFormat("unsupported-format", f"{part.name} was not saved by torch")
    archive = torchzip.open_torch_zip(source, members, draft.limits)
    walked = walk(archive.pickle, draft.ledger, draft.limits)
    if walked.end != len(archive.pickle):
        raise MalformedArtifact("pickle-trailing-bytes", f"bytes follow the pickle of {part.name}")
    torchzip.check_storages(declared_storages(walked.persistents), archive.storages)
    return walked.value, archive.storages
