"""What an opened checkpoint holds: mappings of tensors, scalars beside them, nothing chosen.

One shape for every format, so that the choice of the model (:mod:`inspector.checkpoint.states`) is
the same for all. Knows no family and no container.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.mappings import (
    Found,
    is_computed,
    mapping_at,
    mappings,
    plain_pairs,
    unique_keys,
)
from inspector.checkpoint.pickles.rebuild import is_tensor, tensor_view
from inspector.checkpoint.reading import Scalar
from inspector.checkpoint.tensors import Storage, View
from inspector.checkpoint.wording import printable
from inspector.errors import MalformedArtifact, UnsupportedFormat

_SCALARS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Content:
    """The mappings of tensors that were ``found``, outer ones first.

    ``top`` are the entries of the outermost mapping, empty where the top is none; ``at`` gives the
    mapping or module that a node is; ``view`` makes a node of a mapping a tensor of that name.
    """

    found: tuple[Found, ...]
    view: Callable[[str, object], View]
    at: Callable[[object, tuple[str, ...]], Found | None] = lambda value, path: None
    top: Mapping[str, object] = field(default_factory=dict)
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


def of_pickle(value: object, storages: Mapping[str, Storage], limits: Limits) -> Content:
    """The content of a walked pickle.

    Args:
        storages: by key, where the bytes of each storage lie in the file.

    Raises:
        UnsupportedFormat: the top is neither a dictionary nor a module.
        MalformedArtifact, LimitExceeded: see
            :func:`~inspector.checkpoint.pickles.mappings.mappings`.
    """
    pairs = plain_pairs(value)
    if pairs is None and mapping_at(value, (), limits) is None:
        what = "one tensor" if is_tensor(value) else "no dictionary"
        raise UnsupportedFormat("no-state-dict", f"the file holds {what}")
    if any(is_computed(key) for key, _ in pairs or ()):
        raise MalformedArtifact("tensor-malformed", "a key of the file is computed on loading")
    top = unique_keys([pair for pair in pairs or () if isinstance(pair[0], str)])
    flattened = _flattened(top)
    found = tuple(mappings(value, limits))
    if flattened is not None:
        own = [each for each in found if each.path[:1] != flattened.path]
        found = (flattened, *own)
    beside = top if flattened is None else unique_keys(plain_pairs(top["metadata"]) or ())
    return Content(
        found,
        lambda name, node: tensor_view(name, node, storages, limits),
        lambda node, path: mapping_at(node, path, limits),
        top,
        scalars(beside),
    )


def of_views(views: Sequence[View], metadata: Mapping[str, object] | None = None) -> Content:
    """The content of a file that is one mapping of tensors.

    Raises:
        MalformedArtifact: two tensors have one name.
    """
    tensors: dict[str, object] = {view.name: view for view in views}
    if len(tensors) != len(views):
        raise MalformedArtifact("duplicate-key", "two files hold a tensor of one name")
    found = Found((), tensors, tuple(tensors), views)
    return Content(
        (found,),
        _renamed,
        lambda _node, _path: found,
        metadata=scalars(metadata or {}),
    )


def scalars(named: Mapping[str, object]) -> dict[str, Scalar]:
    """The scalars beside the tensors, such as epoch and val_result; nothing else is of interest."""
    result: dict[str, Scalar] = {}
    for key, entry in named.items():
        if len(result) >= _SCALARS_LIMIT:
            break
        if isinstance(entry, str):
            result[printable(key)] = printable(entry)
        elif isinstance(entry, float):
            # JSON has no NaN.
            result[printable(key)] = entry if abs(entry) < float("inf") else str(entry)
        elif entry is None or isinstance(entry, bool):
            result[printable(key)] = entry
        elif isinstance(entry, int):
            result[printable(key)] = entry if abs(entry) < 2**53 else hex(entry)
    return result


def _renamed(name: str, node: object) -> View:
    assert isinstance(node, View)
    return replace(node, name=name)


def _flattened(top: Mapping[str, object]) -> Found | None:
    """CLIP-LoRA's ``weights`` of layers of projections of matrices, keys joined by full stops.

    None for anything else; ``metadata`` must lie beside it.
    """
    weights = plain_pairs(top.get("weights"))
    if set(top) != {"weights", "metadata"} or weights is None:
        return None
    if plain_pairs(top["metadata"]) is None:
        return None
    entries = unique_keys(weights)
    for _ in range(2):
        below = {outer: plain_pairs(entry) for outer, entry in entries.items()}
        if None in below.values():
            return None
        entries = {
            f"{outer}.{inner}": entry
            for outer, pairs in below.items()
            for inner, entry in unique_keys(pairs or []).items()
        }
    tensors = {name: entry for name, entry in entries.items() if is_tensor(entry)}
    return Found(("weights",), tensors, tuple(entries), top["weights"])
