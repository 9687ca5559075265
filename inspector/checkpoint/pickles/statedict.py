"""The dictionary of tensors in a walked pickle, and the scalars beside it.

Only ``state_dict``, or a bare top-level mapping of nothing but tensors, is ever looked at;
optimisers and schedules are not. Keys are unique strings. Knows no container, and of a tensor only
that :mod:`inspector.checkpoint.pickles.rebuild` makes one.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.inert import Call, Mapping, is_call_of
from inspector.checkpoint.pickles.rebuild import is_tensor, tensor_view
from inspector.checkpoint.reading import Scalar
from inspector.checkpoint.reasons import report
from inspector.checkpoint.tensors import Storage, View
from inspector.checkpoint.wording import printable
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat
from inspector.findings import Finding

_SCALARS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class StateDict:
    """What a pickle yields: views, the scalars beside them, and remarks."""

    views: tuple[View, ...]
    metadata: dict[str, Scalar]
    findings: tuple[Finding, ...]


def state_dict(value: object, storages: MappingType[str, Storage], limits: Limits) -> StateDict:
    """The tensors under ``state_dict`` of a walked pickle, or of the mapping that it is.

    Args:
        value: the top of the walked pickle.
        storages: by key, where the bytes of each storage lie in the file.

    Raises:
        UnsupportedFormat: there is no dictionary of tensors, or a tensor of an unsupported kind.
        MalformedArtifact: a tensor or a key is invalid.
        LimitExceeded: too many tensors, or one of too many dimensions.
    """
    top = _pairs(value)
    if top is None:
        raise UnsupportedFormat("no-state-dict", "the file holds no dictionary")
    named = _unflattened(_unique_keys(top))
    found = _pairs(named.get("state_dict"))
    is_bare = "state_dict" not in named
    if is_bare and named and all(is_tensor(entry) for entry in named.values()):
        found = top
    if found is None:
        keys = ", ".join(sorted(printable(key) for key in named)[:20]) or "none"
        raise UnsupportedFormat(
            "no-state-dict", f"no state_dict of tensors; top-level keys: {keys}"
        )
    if len(found) > limits.tensors:
        raise LimitExceeded("tensors", limits.tensors, len(found))
    findings: list[Finding] = []
    entries = _strip_module(_unique_keys(found), findings)
    extras = [key for key, entry in entries.items() if not is_tensor(entry)]
    if extras:
        shown = ", ".join(printable(key) for key in extras[:20])
        findings.append(report("state-dict-extra", f"not tensors, ignored: {shown}"))
    views = tuple(
        tensor_view(key, entry, storages, limits)
        for key, entry in entries.items()
        if is_tensor(entry)
    )
    return StateDict(views, {} if is_bare else scalars(named), tuple(findings))


def _unflattened(named: dict[str, object]) -> dict[str, object]:
    """CLIP-LoRA's ``weights`` of layers of projections of matrices, as a ``state_dict``.

    Keys are joined by full stops; ``metadata`` comes up beside it. Anything else stays as it is.
    """
    metadata, weights = _pairs(named.get("metadata")), _pairs(named.get("weights"))
    if metadata is None or weights is None or len(named) > 2:
        return named
    entries = _unique_keys(weights)
    for _ in range(2):
        below = {outer: _pairs(entry) for outer, entry in entries.items()}
        if None in below.values():
            return named
        entries = {
            f"{outer}.{inner}": entry
            for outer, pairs in below.items()
            for inner, entry in _unique_keys(pairs or []).items()
        }
    return _unique_keys(metadata) | {"state_dict": Mapping(pairs=list(entries.items()))}


def scalars(named: MappingType[str, object]) -> dict[str, Scalar]:
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


def _pairs(value: object) -> Sequence[tuple[object, object]] | None:
    """The pairs of a dict, OrderedDict or defaultdict that was filled by the pickle alone.

    None for anything else, such as a mapping that was made from arguments or given attributes: what
    torch would find in it is not what its pairs say.
    """
    if isinstance(value, Mapping):
        return value.pairs if value.state is None and not value.items else None
    if not isinstance(value, Call) or value.items:
        return None
    if is_call_of(value, "collections.OrderedDict"):
        is_plain = value.arguments == () and _is_versions(value.state)
        return value.pairs if is_plain else None
    if is_call_of(value, "collections.defaultdict"):
        factories = value.arguments if isinstance(value.arguments, tuple) else (None, None)
        return value.pairs if len(factories) <= 1 and value.state is None else None
    return None


def _is_versions(state: object) -> bool:
    # Module.state_dict() hangs the versions of its modules on the OrderedDict.
    if state is None:
        return True
    return isinstance(state, Mapping) and [key for key, _ in state.pairs] == ["_metadata"]


def _unique_keys(pairs: Sequence[tuple[object, object]]) -> dict[str, object]:
    named: dict[str, object] = {}
    for key, entry in pairs:
        if not isinstance(key, str):
            raise MalformedArtifact("tensor-malformed", "a key is no string")
        if key in named:
            raise MalformedArtifact("duplicate-key", f"{printable(key)} stands twice")
        named[key] = entry
    return named


def _strip_module(entries: dict[str, object], findings: list[Finding]) -> dict[str, object]:
    # Dassl removes what DataParallel puts in front of every key, and only there.
    if not any(key.startswith("module.") for key in entries):
        return entries
    findings.append(report("module-prefix-stripped", "a leading 'module.' was removed from keys"))
    return _unique_keys([(key.removeprefix("module."), entry) for key, entry in entries.items()])
