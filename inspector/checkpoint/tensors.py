"""A tensor as a view on bytes of the file: its checks, and its values in row-major order.

A view is an offset, a shape and strides over one storage. All arithmetic is on Python integers,
which do not overflow. Memory stays constant: a contiguous run is streamed; only a transposed or
finely scattered view holds the span it touches, up to a limit. Knows neither pickle nor zip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from inspector.checkpoint.limits import MIB, Limits
from inspector.checkpoint.source import Source
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat

ITEM_SIZES: dict[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
"""Bytes per value, by safetensors dtype code."""

_FORMATS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_NAME_LIMIT = 512
_SIZES = 2**60
"""Bytes of a tensor: readers count bits in 64 bits."""
_EXPANDED_BYTES = MIB
"""How large a tensor that repeats its values may be, beyond its storage: ``expand`` is honest."""
_SHORT_RUN_BYTES = 1024
"""Below this a run is cheaper to copy from memory than to read by a system call of its own. A row
of an embedding, such as each of ``token_prefix``, is longer: holding what lies between them would
take 100 MB of memory for 600 classes."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A stretch of the file: absolute ``offset`` and ``size`` in bytes."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class View:
    """A named tensor over a storage. ``stride`` and ``start`` count values, not bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    start: int
    storage: Storage

    @property
    def item_size(self) -> int:
        """Bytes of one value."""
        return ITEM_SIZES[self.dtype]

    @property
    def numel(self) -> int:
        """Number of values; 1 of a scalar, whose shape is empty."""
        return prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the tensor when it is contiguous."""
        return self.numel * self.item_size

    @property
    def reach(self) -> int:
        """Values from the first that the view touches to the last, both included."""
        if not self.numel:
            return 0
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))

    @property
    def first_byte(self) -> int:
        """Where the first value begins, in bytes of the file."""
        return self.storage.offset + self.start * self.item_size


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous tensor, in values."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def check_name(name: str) -> str:
    """Give ``name`` back when it can be shown.

    Raises:
        MalformedArtifact: it is empty, reserved or not printable.
        LimitExceeded: it is too long.
    """
    if len(name) > _NAME_LIMIT:
        raise LimitExceeded("characters of a tensor name", _NAME_LIMIT, len(name))
    if not name.isprintable() or name in ("", "__metadata__"):
        raise MalformedArtifact("tensor-malformed", f"a tensor is called {name!a}")
    return name


def check_view(view: View, limits: Limits) -> View:
    """Give ``view`` back when it is sound.

    Raises:
        MalformedArtifact: a dimension, stride or offset is negative, the numbers do not pair up,
            the view leaves its storage, or it repeats values until it is larger than its storage
            and than 1 MiB; its sizes overflow elsewhere.
        LimitExceeded: too many dimensions.
        MalformedArtifact, LimitExceeded: see :func:`check_name`.
    """
    name = check_name(view.name)
    if len(view.shape) > limits.dimensions:
        raise LimitExceeded("tensor dimensions", limits.dimensions, len(view.shape))
    if len(view.shape) != len(view.stride):
        raise MalformedArtifact("tensor-malformed", f"{name}: as many strides as dimensions")
    if min((*view.shape, *view.stride, view.start)) < 0:
        raise MalformedArtifact("tensor-malformed", f"{name}: a negative size, stride or offset")
    if prod(max(extent, 1) for extent in view.shape) * view.item_size >= _SIZES:
        # Others multiply before they come to the 0 that would make it small.
        raise MalformedArtifact("tensor-malformed", f"{name}: sizes over 60 bits")
    available = view.storage.size
    # An empty tensor reads nothing, and torch leaves its offset wherever the slicing put it.
    if view.numel and (
        (view.start + view.reach) * view.item_size > available
        or view.size > max(available, _EXPANDED_BYTES)
    ):
        raise MalformedArtifact(
            "storage-out-of-range",
            f"{name}: {view.numel} values from {view.start} with strides {view.stride} "
            f"need more than the {available} bytes of their storage",
        )
    return view


def runs(view: View) -> Iterator[tuple[int, int, int]]:
    """The values in row-major order, as (first value, count, step) relative to ``view.start``."""
    if not view.numel:
        return
    axes = _merged(view)
    count, step = axes.pop() if axes else (1, 1)
    index, first = [0] * len(axes), 0
    while True:
        yield first, count, step
        for axis in range(len(axes) - 1, -1, -1):
            size, stride = axes[axis]
            index[axis] += 1
            first += stride
            if index[axis] < size:
                break
            first -= stride * size
            index[axis] = 0
        else:
            return


def run_count(view: View) -> int:
    """How many runs :func:`runs` would give."""
    return prod(size for size, _ in _merged(view)[:-1]) if view.numel else 0


def _merged(view: View) -> list[list[int]]:
    """Size and stride of each axis, without those of size 1 and with neighbours made one."""
    axes = [[n, s] for n, s in zip(view.shape, view.stride, strict=True) if n > 1]
    for inner in range(len(axes) - 1, 0, -1):
        if axes[inner - 1][1] == axes[inner][0] * axes[inner][1]:
            axes[inner - 1] = [axes[inner - 1][0] * axes[inner][0], axes[inner][1]]
            del axes[inner]
    return axes


def is_scattered(view: View, limits: Limits) -> bool:
    """Whether the values lie so that the span they touch must be held in memory.

    Raises:
        UnsupportedFormat: the span is over ``limits.gather_bytes``, and the values do not even
            come in contiguous runs.
    """
    _first, count, step = next(runs(view), (0, 0, 1))
    is_single = count == view.numel
    if step == 1 and (is_single or count * view.item_size >= _SHORT_RUN_BYTES):
        return False
    span = view.reach * view.item_size
    if span <= limits.gather_bytes:
        return True
    if step == 1:
        return False
    raise UnsupportedFormat(
        "unsupported-tensor", f"{view.name}: a transposed view over {span} bytes is too large"
    )


def values(source: Source, view: View, limits: Limits) -> Iterator[bytes]:
    """The values of ``view`` in row-major order, in pieces of whole values, at most about 1 MiB.

    Raises:
        UnsupportedFormat: see :func:`is_scattered`.
    """
    if not is_scattered(view, limits):
        for first, count, _step in runs(view):
            offset = view.first_byte + first * view.item_size
            yield from source.stream(offset, count * view.item_size)
        return
    held = memoryview(source.read(view.first_byte, view.reach * view.item_size))
    typed = held.cast(_FORMATS[view.item_size])
    pending = bytearray()
    for first, count, step in runs(view):
        if step:
            pending += typed[first : first + (count - 1) * step + 1 : step].tobytes()
        else:
            pending += typed[first : first + 1].tobytes() * count
        if len(pending) >= MIB:
            yield bytes(pending)
            pending.clear()
    yield bytes(pending)


def scatter(span: bytearray, view: View, content: bytes) -> None:
    """Write ``content``, the values in row-major order, to their places inside ``span``.

    ``span`` holds the bytes from the first value of ``view`` to the last.

    Raises:
        UnsupportedFormat: the view repeats values, so that they cannot all be set.
    """
    typed = memoryview(span).cast(_FORMATS[view.item_size])
    fresh = memoryview(content).cast(_FORMATS[view.item_size])
    position = 0
    for first, count, step in runs(view):
        if not step:
            raise UnsupportedFormat("unsupported-tensor", f"{view.name} repeats its values")
        end = first + (count - 1) * step + 1
        typed[first:end:step] = fresh[position : position + count]
        position += count
