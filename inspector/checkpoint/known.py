"""What is known of the few functions that honest pickles call: those that call others in turn, and
those whose result is complete when it is made.

Knows no opcode, and does not judge: which names are allowed is :mod:`inspector.checkpoint.globals`'
business. Meanings from ``torch/_tensor.py``, ``torch/serialization.py`` and ``Lib/copyreg.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

from inspector.checkpoint.inert import Call, Global

_CALLED_ARGUMENT = {
    "torch._tensor._rebuild_from_type_v2": 0,
    "torch._tensor._rebuild_from_type": 0,
    "torch.tensor._rebuild_from_type": 0,
    "collections.defaultdict": 0,
    # base.__init__ runs with a state of the file's choice, unless it is object's.
    "copyreg._reconstructor": 1,
    "copy_reg._reconstructor": 1,
}
"""By function, the place of the argument that it calls, at once or later."""
_HARMLESS = frozenset(
    {"object", "dict", "list", "tuple", "set", "frozenset", "int", "float", "str", "bytes", "bool"}
)
_FIXED_MODULES = ("torch", "torch._utils", "torch._tensor", "torch.storage", "torch.nn.parameter")
"""What these modules make is complete when it is made: tensors, storages, shapes, dtypes."""


def called_in_turn(function: object, arguments: tuple[object, ...]) -> Iterator[object]:
    """The arguments that ``function`` would call; none for what is not known to call any."""
    place = _CALLED_ARGUMENT.get(function.dotted) if isinstance(function, Global) else None
    if place is not None and len(arguments) > place and not _is_harmless(arguments[place]):
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
