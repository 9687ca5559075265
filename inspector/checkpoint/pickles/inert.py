"""The inert things that a walked pickle is made of.

A pickle is a program; walking it yields only these nodes and plain None, bool, int, float, str,
bytes, tuple and list values. Nothing here can call, import, hash or compare what a file describes:
mappings are lists of pairs, so that a hostile key is never hashed. A node is small until it is
filled: a pickle can make one with a single byte. Knows no opcode and no tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Global:
    """A reference to ``module.name`` that nobody resolves."""

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """As Python would write it; two different globals can have one spelling."""
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Node:
    """Anything that a pickle may fill after making it: pairs, items, a state.

    ``taken`` is how many entries the state had when it was given, or the list when it was made a
    set: what the pickle adds to these later does not reach the object any more.
    """

    pairs: Sequence[tuple[object, object]] = ()
    items: Sequence[object] = ()
    state: object = None
    taken: int = 0

    def add_pairs(self, pairs: Iterable[tuple[object, object]]) -> None:
        """Append pairs; the first ones begin the list."""
        if not isinstance(self.pairs, list):
            self.pairs = list(self.pairs)
        self.pairs.extend(pairs)

    def add_items(self, items: Iterable[object]) -> None:
        """Append items; the first ones begin the list."""
        if not isinstance(self.items, list):
            self.items = list(self.items)
        self.items.extend(items)


@dataclass(slots=True, eq=False)
class Mapping(Node):
    """A plain dict."""


@dataclass(slots=True, eq=False)
class Group(Node):
    """A set or frozenset."""


@dataclass(slots=True, eq=False)
class Call(Node):
    """``function(*arguments)``, or an instance that would be made that way; never performed."""

    function: object = None
    arguments: object = ()
    is_made: bool = False
    """Whether the function itself is called; an instance made empty runs no constructor."""


@dataclass(slots=True, eq=False)
class Persistent:
    """A persistent id: how torch refers to a storage outside the pickle."""

    identifier: object


def module_class(persistent: Persistent) -> Global | None:
    """The class that a persistent id of torch's legacy format stands for, if it is of that kind."""
    identifier = persistent.identifier
    if isinstance(identifier, tuple) and len(identifier) == 4 and identifier[0] == "module":
        return identifier[1] if isinstance(identifier[1], Global) else None
    return None


def is_call_of(value: object, *names: str) -> bool:
    """Whether ``value`` stands for a call of one of the dotted ``names``.

    A name that is itself a path (``torch``, ``_utils._rebuild_tensor_v2``) never matches: what it
    means depends on the protocol.
    """
    return (
        isinstance(value, Call)
        and isinstance(value.function, Global)
        and value.function.dotted in names
        and "." not in value.function.name
    )
