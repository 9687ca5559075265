"""What is known of the few functions that honest pickles call: those that call others in turn, and
those whose result is complete when it is made.

Knows no opcode, and does not judge: which names are allowed is :mod:`inspector.checkpoint.pickles.globals`'
business. Meanings from ``torch/_tensor.py``, ``torch/serialization.py``, ``numpy/random/_pickle.py`` and
``Lib/copyreg.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

from inspector.checkpoint.pickles.inert import (
    Call,
    Global,
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


def _is_harmless(value: object) -> bool:
    return (
        isinstance(value, Global)
        and value.module in ("builtins", "__builtin__")
        and value.name in _HARMLESS
    )
