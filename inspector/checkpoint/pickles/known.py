"""What is known of the few functions that honest pickles call: those that call others in turn, and
those whose result is complete when it is made.

Knows no opcode, and does not judge: which names are allowed is :mod:`inspector.checkpoint.pickles.globals`'
business. Meanings from ``torch/_tensor.py``, ``torch/serialization.py``, ``numpy/random/_pickle.py`` and
``Lib/copyreg.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

from inspector.checkpoint.pickles.inert import Call, Global

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
_FIXED_MODULES = ("torch", "torch._utils", "torch._tensor", "torch.storage", "torch.nn.parameter")
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


def is_fixed(target: Call) -> bool:
    """Whether the result of ``target`` cannot be filled without changing a tensor."""
    function = target.function
    return isinstance(function, Global) and function.module in _FIXED_MODULES


def _is_harmless(value: object) -> bool:
    return (
        isinstance(value, Global)
        and value.module in ("builtins", "__builtin__")
        and value.name in _HARMLESS
    )
