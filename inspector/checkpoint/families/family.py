"""What a family of checkpoints is to the reader: its keys, and a rule for their shapes.

Knows neither containers nor tensors' values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from inspector.checkpoint.families.parts import Split
from inspector.checkpoint.reading import Scalar
from inspector.errors import ShapeMismatch

Shapes = Mapping[str, tuple[int, ...]]
Start = Literal["words", "vectors", "layer", "nothing"]
"""How a method's tensor begins before it is tuned: words of a template, drawn vectors, a layer with
weight and bias as torch draws them, zero."""
COUNTER = ".num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the families table.

    ``aliases`` are methods that save the same keys and shapes, so that only the manifest can tell
    them apart. ``options`` reads from the shapes what they say, or raises ``ShapeMismatch``,
    ``AmbiguousFamily`` or ``UnknownFamily``; ``parts`` says what the tensors are. Beside
    ``required`` and ``optional`` keys there may be any that start with one of
    ``prefixes``: whole encoders, or lists of any length. ``fits`` tells families of the
    same keys apart by keys and shapes.

    What the tensors do not say: whether the position of the class name is ``stated`` elsewhere,
    whether the method ``tunes`` an encoder weight of some name, and by how much, relative, frozen
    ones are off by ``rounding``. Tensors ``beside`` the weights need not be floating-point numbers;
    nor need the batches that a ResNet's norms have counted, which no forward pass reads.

    ``learned`` says, by patterns of names, which tensors the method tunes and a forward pass reads,
    and how they begin, where these are prompts and what makes or adapts them: such a model can be
    tuned anew on the trusted encoders. It is empty where encoder weights are what is learned, or
    features of pictures.
    """

    name: str
    aliases: tuple[str, ...]
    required: frozenset[str]
    optional: frozenset[str]
    options: Callable[[Shapes], dict[str, Scalar]]
    parts: Split
    prefixes: tuple[str, ...] = ()
    fits: Callable[[Shapes], bool] = lambda shapes: True
    is_position_stated: bool = False
    tunes: Callable[[str], bool] = lambda name: False
    rounding: float = 0.0
    beside: frozenset[str] = frozenset()
    learned: Mapping[str, Start] = field(default_factory=dict)

    def knows(self, name: str) -> bool:
        """Whether a key of this name belongs to the family."""
        return name in self.required or name in self.optional or name.startswith(self.prefixes)

    def is_beside(self, name: str) -> bool:
        """Whether a key of this name may hold whole numbers."""
        return name in self.beside or name.endswith(COUNTER)

    def starts(self, names: Iterable[str]) -> dict[str, Start]:
        """Those of ``names`` that are learned, in order of name, and how they begin."""
        return {
            name: start
            for name in sorted(names)
            for pattern, start in self.learned.items()
            if re.fullmatch(pattern, name)
        }

    def claims(self, shapes: Shapes) -> bool:
        """Whether all required keys are there, and no other family's shapes; others may be, too."""
        return bool(shapes) and self.required <= shapes.keys() and self.fits(shapes)


@dataclass(frozen=True, slots=True)
class Recognition:
    """The family of a file, methods it may also be, and the options that its shapes give.

    ``unknown`` are keys of no family; the original codes would ignore them on loading.
    """

    family: str
    aliases: tuple[str, ...]
    options: dict[str, Scalar]
    unknown: tuple[str, ...] = ()


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
