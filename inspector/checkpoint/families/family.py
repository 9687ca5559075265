"""What a family of checkpoints is to the reader: its keys, and a rule for their shapes.

Knows neither containers nor tensors' values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inspector.checkpoint.reading import Scalar
from inspector.errors import ShapeMismatch

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the families table.

    ``aliases`` are methods that save the same keys and shapes, so that only the manifest can tell
    them apart. ``options`` reads from the shapes what they say, or raises ``ShapeMismatch``,
    ``AmbiguousFamily`` or ``UnknownFamily``. Beside ``required`` and ``optional`` keys there may be
    any that start with one of ``prefixes``: whole encoders, or lists of any length. ``fits`` tells
    families of the same keys apart by their shapes.
    """

    name: str
    aliases: tuple[str, ...]
    required: frozenset[str]
    optional: frozenset[str]
    options: Callable[[Shapes], dict[str, Scalar]]
    prefixes: tuple[str, ...] = ()
    fits: Callable[[Shapes], bool] = lambda shapes: True

    def has_keys(self, shapes: Shapes) -> bool:
        """Whether all required keys are there and no key beyond what else is allowed."""
        known = self.required | self.optional
        return (
            bool(shapes)
            and self.required <= shapes.keys()
            and all(name in known or name.startswith(self.prefixes) for name in shapes)
        )


@dataclass(frozen=True, slots=True)
class Recognition:
    """The family of a file, methods it may also be, and the options that its shapes give."""

    family: str
    aliases: tuple[str, ...]
    options: dict[str, Scalar]


def expect(shapes: Shapes, name: str, expected: tuple[int | None, ...]) -> None:
    """Demand that tensor ``name`` has shape ``expected``, where None stands for any size.

    Raises:
        ShapeMismatch: it has not.
    """
    actual = shapes[name]
    if len(actual) != len(expected) or any(
        size == 0 or wanted not in (None, size)
        for size, wanted in zip(actual, expected, strict=True)
    ):
        text = " x ".join("*" if wanted is None else str(wanted) for wanted in expected)
        raise ShapeMismatch(name, text, actual)
