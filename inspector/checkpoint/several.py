"""Checkpoints that are not one file: several that only together make a model, or a JSON.

The files of the first kind lie behind one another in one copy (:mod:`inspector.checkpoint.bundle`).
What they are, their names say: tensors that are called after their file (Tip-Adapter), shards with
an index that says which tensor lies in which (transformers), an adapter and its settings (peft).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from inspector.checkpoint import content, loaders
from inspector.checkpoint.bundle import Part
from inspector.checkpoint.content import Content
from inspector.checkpoint.draft import Draft
from inspector.checkpoint.families.peft_config import check_config
from inspector.checkpoint.families.zero_shot import STATEMENT, check_statement
from inspector.checkpoint.formats import legacy, safetensors, torchzip, zipfiles
from inspector.checkpoint.formats.sniff import sniff
from inspector.checkpoint.pickles.rebuild import declared_storages, is_tensor, tensor_view
from inspector.checkpoint.pickles.walker import walk
from inspector.checkpoint.source import Source
from inspector.checkpoint.tensors import Storage, View
from inspector.checkpoint.wording import printable
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat


def content_of(source: Source, parts: tuple[Part, ...], draft: Draft) -> Content:
    """The tensors of all parts, with storages in the whole ``source``.

    Raises:
        ArtifactError: a part cannot be read, or the parts do not fit together.
    """
    names = [_name(part) for part in parts]
    if loaders.shard_index(names[0]):
        return content.of_views(_sharded(source, parts, draft))
    if all(map(loaders.part_name, names)):
        return content.of_views([_bare(source, part, draft) for part in parts])
    return content.of_views(list(_adapter(source, parts, draft)))


def statement(source: Source, draft: Draft) -> View:
    """A JSON of zero-shot prompts as one tensor of its bytes.

    Raises:
        LimitExceeded, UnsupportedFormat: see :func:`check_statement`.
    """
    size = source.size
    check_statement(source.read(0, min(size, draft.limits.string_bytes + 1)), draft.limits)
    return _raw(STATEMENT, 0, size)


def _name(part: Part) -> str:
    return PurePosixPath(part.name).name


def _raw(name: str, offset: int, size: int) -> View:
    """Bytes as a tensor."""
    return View(name, "U8", (size,), (1,), 0, Storage(offset, size))


def _adapter(source: Source, parts: tuple[Part, ...], draft: Draft) -> Iterator[View]:
    """An adapter's tensors, and its settings as one tensor of their bytes."""
    for part in parts:
        if _name(part) != loaders.ADAPTER_CONFIG:
            yield from _tensors(source, part, draft)
        else:
            size = min(part.size, draft.limits.string_bytes + 1)
            check_config(source.read(part.offset, size), draft.limits)
            yield _raw(loaders.ADAPTER_CONFIG, part.offset, part.size)


def _sharded(source: Source, parts: tuple[Part, ...], draft: Draft) -> list[View]:
    """The tensors of all shards, each in the shard that the index names."""
    index, *shards = parts
    places = _weight_map(source.part(index.offset, index.size), index, draft)
    missing = set(places.values()) - {_name(part) for part in shards}
    if missing:
        shown = ", ".join(sorted(map(printable, missing))[:10])
        raise UnsupportedFormat("archive-no-checkpoint", f"shards are missing: {shown}")
    views = []
    for part in shards:
        found = _tensors(source, part, draft)
        if {view.name for view in found} != {
            n for n, file in places.items() if file == _name(part)
        }:
            raise MalformedArtifact(
                "archive-malformed", f"the index and {printable(_name(part))} name other tensors"
            )
        views += found
    return views


def _weight_map(source: Source, index: Part, draft: Draft) -> Mapping[str, str]:
    if source.size > draft.limits.header_bytes:
        raise LimitExceeded(f"bytes of {index.name}", draft.limits.header_bytes, source.size)
    try:
        stated = json.loads(source.read(0, source.size).decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MalformedArtifact("archive-malformed", f"{index.name} is no JSON") from error
    places = stated.get("weight_map") if isinstance(stated, dict) else None
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise MalformedArtifact("archive-malformed", f"{index.name} has no map of weights")
    return places


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedArtifact("duplicate-key", "the index names a key twice")
    return result


def _tensors(source: Source, part: Part, draft: Draft) -> list[View]:
    """The mapping of tensors that a part is, whichever format it has."""
    own = source.part(part.offset, part.size)
    if sniff(own) == "safetensors":
        views = safetensors.read_views(own, draft.limits)[0]
        return [_moved(view, part) for view in views]
    value, storages = _walked(own, part, draft)
    held = content.of_pickle(value, storages, draft.limits)
    if len(held.found) != 1 or held.found[0].path:
        raise UnsupportedFormat("no-state-dict", f"{part.name} is no mapping of tensors")
    tensors = held.found[0].tensors
    return [_moved(held.view(name, node), part) for name, node in tensors.items()]


def _bare(source: Source, part: Part, draft: Draft) -> View:
    """The one tensor that a part is, called after its file."""
    value, storages = _walked(source.part(part.offset, part.size), part, draft)
    if not is_tensor(value):
        raise UnsupportedFormat("no-state-dict", f"{part.name} is no tensor")
    name = loaders.part_name(_name(part)) or part.name
    return _moved(tensor_view(name, value, storages, draft.limits), part)


def _moved(view: View, part: Part) -> View:
    return replace(view, storage=Storage(part.offset + view.storage.offset, view.storage.size))


def _walked(source: Source, part: Part, draft: Draft) -> tuple[object, Mapping[str, Storage]]:
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
