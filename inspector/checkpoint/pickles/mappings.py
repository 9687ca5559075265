"""Every mapping of tensors in a walked pickle, and the keys that lead to it.

Dictionaries, and modules that were pickled whole: of these the inert parts that
``torch.nn.Module.__setstate__`` would put in place, named as ``Module.state_dict()`` names them.
Which of the mappings is the model is not decided here (:mod:`inspector.checkpoint.states`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.inert import Call, Group, Mapping, Node, is_call_of
from inspector.checkpoint.pickles.rebuild import is_tensor
from inspector.checkpoint.wording import printable
from inspector.errors import LimitExceeded, MalformedArtifact

_DEPTH = 8
"""Keys from the top to a mapping; training tools nest four."""
_MODULES = 20_000
"""Modules of one pickle, counted as often as they are held; ViT-L has under a thousand."""
_TENSORS, _BUFFERS, _CHILDREN = "_parameters", "_buffers", "_modules"
_NOT_SAVED = "_non_persistent_buffers_set"


@dataclass(frozen=True, slots=True)
class Found:
    """A mapping that holds tensors.

    ``path`` are the keys that lead to it, ``tensors`` its nodes by name, ``keys`` all its names in
    their order, ``value`` the node itself. ``is_odd``: some tensor's key is no string.
    """

    path: tuple[str, ...]
    tensors: dict[str, object]
    keys: tuple[str, ...]
    value: object
    is_odd: bool = False

    @property
    def extras(self) -> tuple[str, ...]:
        """The names of what else it holds."""
        return tuple(key for key in self.keys if key not in self.tensors)


def plain_pairs(value: object) -> Sequence[tuple[object, object]] | None:
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


def unique_keys(pairs: Sequence[tuple[object, object]]) -> dict[str, object]:
    """The pairs as a dictionary.

    Raises:
        MalformedArtifact: a key is no string, or stands twice.
    """
    named: dict[str, object] = {}
    for key, entry in pairs:
        if not isinstance(key, str):
            raise MalformedArtifact("tensor-malformed", "a key is no string")
        if key in named:
            raise MalformedArtifact("duplicate-key", f"{printable(key)} stands twice")
        named[key] = entry
    return named


def mapping_at(value: object, path: tuple[str, ...], limits: Limits) -> Found | None:
    """The mapping or module that ``value`` is, whether it holds tensors or not; else None.

    Raises:
        MalformedArtifact: a key stands twice.
        LimitExceeded: too many tensors or modules.
    """
    entries = _entries(value)
    if entries is None:
        return None
    tensors = {name: entry for name, entry in entries.items() if is_tensor(entry)}
    if len(tensors) > limits.tensors:
        raise LimitExceeded("tensors", limits.tensors, len(tensors))
    odd = [e for key, e in plain_pairs(value) or () if not isinstance(key, str) and is_tensor(e)]
    return Found(path, tensors, tuple(entries), value, bool(odd))


def mappings(value: object, limits: Limits) -> Iterator[Found]:
    """All mappings of tensors in ``value``, outer ones first, each once.

    Raises:
        MalformedArtifact: see :func:`mapping_at`.
        LimitExceeded: likewise, or lists hold one another without end.
    """
    seen: set[Node] = set()
    waiting: deque[tuple[object, tuple[str, ...]]] = deque([(value, ())])
    for _ in range(limits.opcodes):
        if not waiting:
            return
        node, path = waiting.popleft()
        if isinstance(node, Node):
            if node in seen:
                continue
            seen.add(node)
        found = mapping_at(node, path, limits)
        if found is not None and (found.tensors or found.is_odd):
            yield found
        if len(path) < _DEPTH:
            waiting += [(child, (*path, key)) for key, child in _children(node)]
    raise LimitExceeded("objects in one another", limits.opcodes, limits.opcodes + 1)


def _entries(value: object) -> dict[str, object] | None:
    if _module_parts(value) is not None:
        return _module_entries(value)
    pairs = plain_pairs(value)
    if pairs is None:
        return None
    return unique_keys([pair for pair in pairs if isinstance(pair[0], str)])


def _children(node: object) -> Iterator[tuple[str, object]]:
    """What may lie inside ``node``; a module is taken whole."""
    if _module_parts(node) is not None:
        return
    if isinstance(node, list | tuple):
        yield from ((str(place), item) for place, item in enumerate(node) if _may_hold(item))
    for key, entry in plain_pairs(node) or ():
        if _may_hold(entry):
            yield str(key) if isinstance(key, str | int) else "?", entry


def _may_hold(value: object) -> bool:
    is_filled = isinstance(value, Mapping | Call) and not is_tensor(value)
    return is_filled or (isinstance(value, list | tuple) and bool(value))


def _module_parts(value: object) -> dict[str, object] | None:
    """The attributes of an object that was pickled as a module is; None for anything else."""
    if not isinstance(value, Call) or not isinstance(value.state, Mapping):
        return None
    parts = {key: entry for key, entry in value.state.pairs if isinstance(key, str)}
    return parts if {_TENSORS, _BUFFERS, _CHILDREN} <= parts.keys() else None


def _module_entries(value: object) -> dict[str, object]:
    """What ``state_dict()`` of the module would hold, in its order."""
    entries: dict[str, object] = {}
    waiting: list[tuple[str, object]] = [("", value)]
    for _ in range(_MODULES):
        if not waiting:
            return entries
        prefix, module = waiting.pop()
        parts = _module_parts(module)
        if parts is None:
            entries[prefix.removesuffix(".")] = module
            continue
        for name, entry in _own_entries(parts):
            if prefix + name in entries:
                raise MalformedArtifact("duplicate-key", f"{printable(name)} stands twice")
            entries[prefix + name] = entry
        children = unique_keys(plain_pairs(parts[_CHILDREN]) or ())
        held = [(f"{prefix}{name}.", child) for name, child in children.items() if child]
        waiting += reversed(held)
    raise LimitExceeded("modules", _MODULES, _MODULES + 1)


def _own_entries(parts: dict[str, object]) -> Iterator[tuple[str, object]]:
    """The parameters of one module, and the buffers that it would save."""
    left_out = _names_in(parts.get(_NOT_SAVED))
    for kind in (_TENSORS, _BUFFERS):
        for name, entry in unique_keys(plain_pairs(parts[kind]) or ()).items():
            if entry is not None and not (kind == _BUFFERS and name in left_out):
                yield name, entry


def _names_in(value: object) -> frozenset[str]:
    """The strings of a set, however its protocol spells it."""
    items: object = ()
    if isinstance(value, Group):
        items = value.items
    elif is_call_of(value, "builtins.set", "__builtin__.set") and isinstance(value, Call):
        items = value.arguments[0] if isinstance(value.arguments, tuple) and value.arguments else ()
    if not isinstance(items, list | tuple):
        return frozenset()
    return frozenset(item for item in items if isinstance(item, str))


def _is_versions(state: object) -> bool:
    # Module.state_dict() hangs the versions of its modules on the OrderedDict.
    if state is None:
        return True
    return isinstance(state, Mapping) and [key for key, _ in state.pairs] == ["_metadata"]
