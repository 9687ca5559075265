"""CPython's two unpicklers as witnesses, with every global replaced by a recorder.

``pickle._Unpickler`` (Python) and ``pickle.Unpickler`` (C) run a program that our walker accepted.
What a global would have made is a :class:`Made` that notes its arguments and all that is done to it,
so nothing is imported or called. The Python one puts pairs into a list instead of a dict: a nested
tuple as a key takes exponential time to hash. Knows nothing of our walker.
"""

from __future__ import annotations

import io
import pickle
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

_USUAL: dict[int, Callable[[Any], None]] = dict(pickle._Unpickler.dispatch)
ATOMS = (type(None), bool, int, float, str, bytes)


class Made:
    """What a call gave: the function, its arguments, and what was done to the result."""

    origin: tuple[str, str] = ("", "")

    def __new__(cls, *arguments: object) -> Made:
        made = object.__new__(cls)
        made.function, made.arguments = cls, arguments
        made.pairs, made.items, made.states = [], [], []
        return made

    function: object
    arguments: tuple[object, ...]
    pairs: list[tuple[object, object]]
    items: list[object]
    states: list[object]

    def __call__(self, *arguments: object) -> Made:
        made = Made(*arguments)
        made.function = self
        return made

    def __setstate__(self, state: object) -> None:
        self.states.append(state)

    def __setitem__(self, key: object, value: object) -> None:
        self.pairs.append((key, value))

    def append(self, item: object) -> None:
        self.items.append(item)

    def extend(self, items: Iterable[object]) -> None:
        self.items.extend(items)

    add = append


class Pairs:
    """In the place of a dict: what was put in, in order."""

    __slots__ = ("pairs",)

    def __init__(self, flat: list[object]) -> None:
        self.pairs = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]

    def __setitem__(self, key: object, value: object) -> None:
        self.pairs.append((key, value))

    def __len__(self) -> int:
        return len(self.pairs)


class Bag:
    """In the place of a frozenset: nothing can be added."""

    __slots__ = ("items",)

    def __init__(self, items: list[object]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)


class OpenBag(Bag):
    """In the place of a set."""

    __slots__ = ()

    def add(self, item: object) -> None:
        self.items.append(item)


class Kept:
    """What a persistent id stands for."""

    def __init__(self, identifier: object) -> None:
        self.identifier = identifier


@dataclass
class Testimony:
    """How one of CPython's unpicklers understood a program.

    ``end`` is the byte after it. ``is_plain`` says that all keys are atoms, so that hashing them is
    cheap, and that no opcode was used of which the C unpickler leaves no trace.
    """

    value: object = None
    end: int = 0
    named: Counter[tuple[str, str]] = field(default_factory=Counter)
    is_plain: bool = True


class _Recorder:
    """The two hooks that both unpicklers have."""

    testimony: Testimony
    classes: dict[tuple[str, str], type[Made]]

    def find_class(self, module: str, name: str) -> type[Made]:
        self.testimony.named[module, name] += 1
        found = self.classes.get((module, name))
        if found is None:
            found = type("Found", (Made,), {"origin": (module, name)})
            self.classes[module, name] = found
        return found

    def persistent_load(self, identifier: object) -> Kept:
        return Kept(identifier)


class _Fast(_Recorder, pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.testimony, self.classes = Testimony(), {}


class _Slow(_Recorder, pickle._Unpickler):
    stack: list[Any]
    append: Callable[[object], None]
    pop_mark: Callable[[], list[object]]

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.testimony, self.classes = Testimony(), {}

    def note(self, keys: Iterable[object]) -> None:
        if not all(isinstance(key, ATOMS) for key in keys):
            self.testimony.is_plain = False

    def new_dict(self) -> None:
        self.append(Pairs([]))

    def make_dict(self) -> None:
        flat = self.pop_mark()
        self.note(flat[::2])
        self.append(Pairs(flat))

    def set_item(self) -> None:
        self.note(self.stack[-2:-1])
        _USUAL[pickle.SETITEM[0]](self)

    def set_items(self) -> None:
        self.note(self.stack[::2])
        _USUAL[pickle.SETITEMS[0]](self)

    def new_set(self) -> None:
        self.append(OpenBag([]))

    def add_items(self) -> None:
        self.note(self.stack)
        _USUAL[pickle.ADDITEMS[0]](self)

    def make_frozen(self) -> None:
        items = self.pop_mark()
        self.note(items)
        self.append(Bag(items))

    def new_object_ex(self) -> None:
        self.testimony.is_plain = False
        keywords, arguments, function = self.stack.pop(), self.stack.pop(), self.stack.pop()
        if not isinstance(keywords, Pairs) or not issubclass(function, Made):
            raise pickle.UnpicklingError("bad arguments")
        self.append(function(arguments, keywords))

    dispatch = _USUAL | {
        pickle.EMPTY_DICT[0]: new_dict,
        pickle.DICT[0]: make_dict,
        pickle.SETITEM[0]: set_item,
        pickle.SETITEMS[0]: set_items,
        pickle.EMPTY_SET[0]: new_set,
        pickle.ADDITEMS[0]: add_items,
        pickle.FROZENSET[0]: make_frozen,
        pickle.NEWOBJ_EX[0]: new_object_ex,
    }


def _testimony(unpickler: _Fast | _Slow, file: io.BytesIO) -> Testimony | None:
    try:
        unpickler.testimony.value = unpickler.load()
    except Exception:
        return None  # It refuses the program, so nobody is misled.
    unpickler.testimony.end = file.tell()
    return unpickler.testimony


def by_python(data: bytes) -> Testimony | None:
    """What the unpickler in Python makes of ``data``; None when it refuses."""
    file = io.BytesIO(data)
    return _testimony(_Slow(file), file)


def by_c(data: bytes) -> Testimony | None:
    """What the unpickler in C makes of ``data``, which must be plain; None when it refuses."""
    file = io.BytesIO(data)
    return _testimony(_Fast(file), file)
