"""Every mapping of tensors in a walked pickle, and the keys that lead to it.

Dictionaries, and modules that were pickled whole: of these the inert parts that
``torch.nn.Module.__setstate__`` would put in place, named as ``Module.state_dict()`` names them.
Which of the mappings is the model is not decided here (:mod:`inspector.checkpoint.states`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.inert import (
    Call,
    Global,
    Group,
    Mapping,
    Node,
    Persistent,
    is_call_of,
)
from inspector.checkpoint.pickles.rebuild import is_tensor
from inspector.checkpoint.wording import printable
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat

_DEPTH = 8
"""Keys from the top to a mapping; training tools nest four."""
_MODULES = 20_000
"""Modules of one pickle, counted as often as they are held; ViT-L has under a thousand."""
_TENSORS, _BUFFERS, _CHILDREN = "_parameters", "_buffers", "_modules"
_NOT_SAVED = "_non_persistent_buffers_set"
_LISTED = "_keys"
_HOOKS = ("_state_dict_hooks", "_state_dict_pre_hooks")


@dataclass(frozen=True, slots=True)
class Found:
    """A mapping that holds tensors.

    ``path`` are the keys that lead to it, ``tensors`` its nodes by name, ``keys`` all its names in
    their order, ``value`` the node itself. ``is_odd``: the names that a loader sees may be others,
    because some tensor's key is no string, a key is computed, or an object of
    another kind holds them.
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
    is_odd = any(
        is_computed(key) or (is_tensor(entry) and not isinstance(key, str))
        for key, entry in plain_pairs(value) or ()
    )
    return Found(path, tensors, tuple(entries), value, is_odd)


def is_computed(key: object) -> bool:
    """Whether what ``key`` is shows only when the pickle is loaded; it may equal any string."""
    return isinstance(key, Node | Global | Persistent)


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
        found = mapping_at(node, path, limits) or _in_disguise(node, path)
        if found is not None and found.tensors:
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


def _in_disguise(node: object, path: tuple[str, ...]) -> Found | None:
    """An object that is no plain dictionary and may be one to a loader, by what the pickle put in.

    Such as a Counter, or a dictionary that is made from a list of pairs.
    """
    if not isinstance(node, Call) or is_tensor(node) or plain_pairs(node) is not None:
        return None
    pairs = list(node.pairs)
    for argument in node.arguments if isinstance(node.arguments, tuple) else ():
        if isinstance(argument, list | tuple):
            pairs += [(i[0], i[1]) for i in argument if isinstance(i, list | tuple) and len(i) == 2]
    tensors = {key: entry for key, entry in pairs if isinstance(key, str) and is_tensor(entry)}
    return Found(path, tensors, tuple(tensors), node, is_odd=True)


def _children(node: object) -> Iterator[tuple[str, object]]:
    """What may lie inside ``node``; a module is taken whole."""
    if _module_parts(node) is not None or is_tensor(node):
        return
    if isinstance(node, list | tuple):
        yield from ((str(place), item) for place, item in enumerate(node) if _may_hold(item))
    if isinstance(node, Node):
        for key, entry in node.pairs:
            if _may_hold(entry):
                yield str(key) if isinstance(key, str | int) else "?", entry
    if isinstance(node, Call):
        parts = {"arguments": node.arguments, "items": node.items, "state": node.state}
        yield from ((name, part) for name, part in parts.items() if _may_hold(part))


def _may_hold(value: object) -> bool:
    is_filled = isinstance(value, Mapping | Call) and not is_tensor(value)
    return is_filled or (isinstance(value, list | tuple) and bool(value))


def _module_parts(value: object) -> dict[str, object] | None:
    """The attributes of an object that was pickled as a module is; None for anything else."""
    if not isinstance(value, Call) or not isinstance(value.state, Mapping):
        return None
    stated = value.state.pairs[: value.taken]
    parts = {key: entry for key, entry in stated if isinstance(key, str)}
    if not parts.keys() >= {_TENSORS, _BUFFERS, _CHILDREN}:
        return None
    return parts


def _check_module(parts: dict[str, object], own: Iterable[str]) -> None:
    """That nothing takes the place of ``own``, the names that a module saves.

    An attribute comes before what is registered under its name, a ParameterDict has a list of names
    of its own, and hooks may change what is saved.

    Raises:
        MalformedArtifact: something does.
    """
    saved = set(own)
    for hooks in filter(parts.__contains__, _HOOKS):
        if plain_pairs(parts[hooks]) is None or plain_pairs(parts[hooks]):
            raise MalformedArtifact("tensor-malformed", "a module changes what it saves")
    listed = unique_keys(plain_pairs(parts.get(_LISTED)) or ())
    held = {**parts, **dict(_registered(parts, (_TENSORS, _BUFFERS)))}
    shadows = saved & parts.keys()
    shadows |= {name for name in listed if name not in saved and is_tensor(held.get(name))}
    if shadows or (_LISTED in parts and plain_pairs(parts[_LISTED]) is None):
        shown = printable(min(shadows, default=_LISTED))
        raise MalformedArtifact("tensor-malformed", f"a module has two meanings of {shown}")


def _module_entries(value: object) -> dict[str, object]:
    """What ``state_dict()`` of the module would hold, in its order."""
    entries: dict[str, object] = {}
    waiting: list[tuple[str, object]] = [("", value)]
    for _ in range(_MODULES):
        if not waiting:
            return entries
        prefix, module = waiting.pop()
        parts = _module_parts(module)
        if parts is None or not isinstance(module, Node) or module.pairs or module.items:
            raise UnsupportedFormat(
                "unsupported-tensor", f"{printable(prefix)} is no module that we can read"
            )
        for name, entry in _own_entries(parts):
            if prefix + name in entries:
                raise MalformedArtifact("duplicate-key", f"{printable(name)} stands twice")
            entries[prefix + name] = entry
        children = dict(_registered(parts, (_CHILDREN,)))
        _check_module(parts, (*(name for name, _ in _own_entries(parts)), *children))
        held = [(f"{prefix}{name}.", child) for name, child in children.items()]
        waiting += reversed(held)
    raise LimitExceeded("modules", _MODULES, _MODULES + 1)


def _own_entries(parts: dict[str, object]) -> Iterator[tuple[str, object]]:
    """The parameters of one module, and the buffers that it would save."""
    left_out = _names_in(parts.get(_NOT_SAVED))
    yield from _registered(parts, (_TENSORS,))
    for name, entry in _registered(parts, (_BUFFERS,)):
        if name not in left_out:
            yield name, entry


def _registered(parts: dict[str, object], kinds: Sequence[str]) -> Iterator[tuple[str, object]]:
    for kind in kinds:
        pairs = plain_pairs(parts[kind])
        if pairs is None:
            raise MalformedArtifact("tensor-malformed", f"{kind} of a module is no dictionary")
        for name, entry in unique_keys(pairs).items():
            if entry is not None:
                yield name, entry


def _names_in(value: object) -> frozenset[str]:
    """The strings of a set, however its protocol spells it."""
    items: object = ()
    if isinstance(value, Group):
        items = value.items
    elif isinstance(value, Call) and is_call_of(value, "builtins.set", "__builtin__.set"):
        arguments = value.arguments if isinstance(value.arguments, tuple) else (None,)
        items = arguments[0] if arguments else ()
        if isinstance(items, list):
            items = items[: value.taken]
        items = None if value.items or value.state is not None else items
    elif value is not None:
        raise MalformedArtifact("tensor-malformed", f"{_NOT_SAVED} of a module is no set")
    names = items if isinstance(items, list | tuple) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise MalformedArtifact("tensor-malformed", f"{_NOT_SAVED} of a module is no set of names")
    return frozenset(map(str, names))


def _is_versions(state: object) -> bool:
    # Module.state_dict() hangs the versions of its modules on the OrderedDict.
    if state is None:
        return True
    return isinstance(state, Mapping) and [key for key, _ in state.pairs] == ["_metadata"]
