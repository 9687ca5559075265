"""What is known of the few functions that honest pickles call.

Some call others in turn, the result of some is complete when it is made, and some run nothing when
they are called in one way.

Knows no opcode, and does not judge: which names are allowed is
:mod:`inspector.checkpoint.pickles.globals`' business. Meanings from ``torch/_tensor.py``,
``torch/serialization.py``, ``numpy/random/_pickle.py``, ``Lib/copyreg.py``, ``Lib/enum.py``,
``Lib/pickle.py`` and ``Modules/_functoolsmodule.c``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from inspector.checkpoint.pickles.inert import (
    Call,
    Global,
    Group,
    Mapping,
    Node,
    Persistent,
    is_call_of,
)

_NUMPY_RANDOM = ("numpy.random._pickle.", "numpy.random.__RandomState_ctor")
_CALLED_ARGUMENTS = {
    "torch._tensor._rebuild_from_type_v2": (0,),
    "torch._tensor._rebuild_from_type": (0,),
    "torch.tensor._rebuild_from_type": (0,),
    "collections.defaultdict": (0,),
    # base.__init__ runs with a state of the file's choice, unless it is object's.
    "copyreg._reconstructor": (1,),
    "copy_reg._reconstructor": (1,),
    "numpy.random._pickle.__bit_generator_ctor": (0,),
    "numpy.random._pickle.__generator_ctor": (0, 1),
    "numpy.random._pickle.__randomstate_ctor": (0, 1),
    "numpy.random.__RandomState_ctor": (0, 1),
}
"""By function, the places of the arguments that it calls, at once or later."""
_HARMLESS = frozenset(
    {"object", "dict", "list", "tuple", "set", "frozenset", "int", "float", "str", "bytes", "bool"}
)
_HARMLESS_FACTORIES = frozenset(
    {
        "collections.OrderedDict",
        "torch.amp.grad_scaler._refresh_per_optimizer_state",
        "torch.cuda.amp.grad_scaler._refresh_per_optimizer_state",
    }
)
"""What makes the missing entries of honest defaultdicts: a new dict, without arguments."""
_TENSOR_CLASSES = frozenset(
    {"Tensor", "Parameter", "Buffer", "UninitializedParameter", "UninitializedBuffer"}
)
_OF_ANOTHER = frozenset(
    {"torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type"}
    | {"torch.tensor._rebuild_from_type"}
)
"""They call their first argument with their third, and give the result a state, their fourth."""
_WITH_STATE = _OF_ANOTHER | {"torch._utils._rebuild_parameter_with_state"}
_STATE_PLACE, _DEPTH = 3, 8
_FIXED_MODULES = (
    "torch", "torch._utils", "torch._tensor", "torch.tensor", "torch.storage", "torch.nn.parameter",
)  # fmt: skip
"""What these modules make is complete when it is made: tensors, storages, shapes, dtypes."""
PARTIALS = ("functools.partial", "hydra._internal.target_policy._DeferredTarget")
_BUILTINS = ("builtins", "__builtin__")

_DTYPES = (
    "float16 half bfloat16 float32 float float64 double int8 int16 short int32 int int64 long "
    "uint8 uint16 uint32 uint64 bool complex64 complex128 float8_e4m3fn float8_e5m2 "
    "qint8 quint8 qint32"
)
DTYPES = frozenset(_DTYPES.split())
_MEMBER = re.compile(r"[A-Z][A-Za-z0-9_]*")
"""An enum member, a constant or a class inside a class; methods and modules begin otherwise."""
_SCHEDULE = "torch.optim.lr_scheduler.OneCycleLR"
_SCHEDULE_STEPS = ("_annealing_cos", "_annealing_linear")
"""The methods that ``OneCycleLR`` kept as attributes until torch 2.1, in its state_dict, too."""


def called_in_turn(function: object, arguments: tuple[object, ...]) -> Iterator[object]:
    """The arguments that ``function`` would call; none for what is not known to call any."""
    if not isinstance(function, Global):
        return
    for place in _CALLED_ARGUMENTS.get(function.dotted, ()):
        if len(arguments) <= place or _is_harmless(arguments[place]):
            continue
        # numpy's take a class, or an object that it made itself.
        is_object = place == 0 and not isinstance(arguments[0], Global)
        if not (is_object and function.dotted.startswith(_NUMPY_RANDOM)):
            yield arguments[place]


def is_tensor_class(function: object) -> bool:
    """Whether ``function`` is a class of tensors; many modules of torch know them by name."""
    if not isinstance(function, Global):
        return False
    package, _, rest = function.dotted.partition(".")
    return package == "torch" and rest.rpartition(".")[2] in _TENSOR_CLASSES


def sets_a_tensor(function: object, arguments: tuple[object, ...]) -> bool:
    """Whether a call sets an attribute of a tensor to something that may be a tensor.

    ``data`` and ``real`` among them write values, also those of another tensor on the same storage.
    """
    for _ in range(_DEPTH):
        if not isinstance(function, Global) or function.dotted not in _WITH_STATE:
            return False
        if any(not _is_plain(state) for state in arguments[_STATE_PLACE:]):
            return True
        if function.dotted not in _OF_ANOTHER or len(arguments) <= _STATE_PLACE:
            return False
        function, inner = arguments[0], arguments[2]
        if not isinstance(inner, tuple):
            return True
        arguments = inner
    return True


def _is_plain(value: object, depth: int = 0) -> bool:
    """Whether a state holds words and numbers only, under names that are spelled out."""
    if depth > _DEPTH:
        return False
    if isinstance(value, tuple | list):
        return all(_is_plain(item, depth + 1) for item in value)
    if isinstance(value, Call) and not is_call_of(value, "collections.OrderedDict"):
        return False
    if isinstance(value, Mapping | Call):
        is_bare = value.state is None and not value.items and not getattr(value, "arguments", ())
        named = [entry for key, entry in value.pairs if isinstance(key, str)]
        is_named = len(named) == len(value.pairs)
        return is_bare and is_named and all(_is_plain(entry, depth + 1) for entry in named)
    return not isinstance(value, Node | Persistent)


def is_fixed(target: Call) -> bool:
    """Whether the result of ``target`` cannot be filled without changing a tensor."""
    function = target.function
    is_of_torch = isinstance(function, Global) and function.module in _FIXED_MODULES
    return is_of_torch or is_tensor_class(function)


def is_idle(function: object, arguments: tuple[object, ...]) -> bool:
    """Whether calling ``function`` with just these arguments runs nothing but itself.

    Honest picklers call three functions that are gadgets otherwise: ``getattr(EnumClass,
    "MEMBER")`` (enum members in Python 3.11.0 to 3.11.3, nested classes below protocol 4),
    ``partial(function)``, and ``type(None)``.
    """
    if not isinstance(function, Global):
        return False
    if function.module in _BUILTINS and function.name == "getattr" and len(arguments) == 2:
        return _is_member(*arguments)
    if is_partial(function):
        return len(arguments) == 1 and isinstance(arguments[0], Global)
    return (
        function.module in _BUILTINS
        and function.name == "type"
        and len(arguments) == 1
        and arguments[0] is None
    )


def can_be_idle(function: Global) -> bool:
    """Whether there is a way of calling it that runs nothing else."""
    return is_partial(function) or (
        function.module in _BUILTINS and function.name in ("getattr", "type")
    )


def is_partial(function: object) -> bool:
    """Whether ``function`` is ``functools.partial``, or Hydra's own kind of it."""
    return isinstance(function, Global) and function.dotted in PARTIALS


def is_state_of_partial(target: Call, state: object) -> bool:
    """Whether ``state`` is what ``functools.partial`` pickles: the same function, its arguments."""
    if not isinstance(state, tuple) or len(state) != 4 or not isinstance(target.arguments, tuple):
        return False
    function, arguments, keywords, attributes = state
    return (
        isinstance(function, Global)
        and target.arguments[:1] == (function,)
        and isinstance(arguments, tuple)
        and (keywords is None or isinstance(keywords, Mapping))
        and (attributes is None or isinstance(attributes, Mapping))
    )


def is_borrowed(target: Call) -> bool:
    """Whether ``target`` is an attribute of what was there before: filling it changes that."""
    function = target.function
    return (
        isinstance(function, Global)
        and function.module in _BUILTINS
        and function.name in ("getattr", "type")
    )


def hides_a_method(state: object) -> bool:
    """Whether a state puts an attribute where unpickling looks for ``__setstate__``."""
    parts = state if isinstance(state, tuple) else (state,)
    pairs = (pair for part in parts if isinstance(part, Mapping) for pair in part.pairs)
    return any(key == "__setstate__" for key, _ in pairs)


def is_plain(value: object, budget: int) -> int:
    """What is left of ``budget`` nodes after ``value`` was found to be plain; else -1.

    Plain are numbers, texts, bytes, None, torch's dtypes, and lists, tuples,
    sets and dicts of these.
    """
    waiting = [value]
    while waiting:
        budget -= 1
        if budget < 0:
            return -1
        item = waiting.pop()
        if isinstance(item, list | tuple):
            waiting.extend(item[: budget + 1])
        elif isinstance(item, Mapping | Group):
            waiting.extend(item.items[: budget + 1])
            for pair in item.pairs[: budget + 1]:
                waiting.extend(pair)
        elif isinstance(item, Global):
            if item.module != "torch" or item.name not in DTYPES:
                return -1
        elif item is not None and not isinstance(item, bool | int | float | str | bytes):
            return -1
    return budget


def _is_member(owner: object, name: object) -> bool:
    if not isinstance(name, str):
        return False
    if name in _SCHEDULE_STEPS:
        kind = owner.function if isinstance(owner, Call) else owner
        return isinstance(kind, Global) and kind.dotted == _SCHEDULE
    if not isinstance(owner, Global):
        return False
    is_class = _MEMBER.fullmatch(owner.name.lstrip("_").rpartition(".")[2]) is not None
    return is_class and _MEMBER.fullmatch(name) is not None


def _is_harmless(value: object) -> bool:
    if not isinstance(value, Global):
        return False
    is_builtin = value.module in _BUILTINS and value.name in _HARMLESS
    return is_builtin or value.dotted in _HARMLESS_FACTORIES
