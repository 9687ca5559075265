"""Reading the safetensors format: a length, a JSON header, raw values, and nothing else.

Checks what the format's own text demands: unique keys, known dtypes, shapes that give the stated
sizes, no hole, no overlap, and a file that ends with the last value. Knows no family and writes
nothing (see :mod:`inspector.checkpoint.canonical`). Format: huggingface/safetensors README.
"""

from __future__ import annotations

import json
from math import prod

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.source import Source
from inspector.checkpoint.tensors import ITEM_SIZES, Storage, View, check_view, row_major
from inspector.checkpoint.wording import printable
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat

_BRACKETS = 10
_FIELDS = {"dtype", "shape", "data_offsets"}
_DIGITS = 19
"""Of the largest integer of 63 bits."""


def looks_like_safetensors(source: Source) -> bool:
    """Whether the file begins with a plausible length and a JSON object."""
    if source.size < 10:
        return False
    head = source.read(0, 9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000


def read_views(source: Source, limits: Limits) -> tuple[tuple[View, ...], dict[str, str]]:
    """All tensors in the order of their bytes, and the free-text metadata.

    Raises:
        MalformedArtifact: the header or the layout breaks a rule.
        UnsupportedFormat: a dtype that we do not read.
        LimitExceeded: header, tensor count, name or dimensions are over their limit.
    """
    if source.size < 8:
        raise _malformed("the file is shorter than its length field")
    length = int.from_bytes(source.read(0, 8), "little")
    if length > limits.header_bytes:
        raise LimitExceeded("safetensors header bytes", limits.header_bytes, length)
    if 8 + length > source.size:
        raise _malformed("the header is cut off")
    header = _header(source.read(8, length), limits)
    metadata = _metadata(header.pop("__metadata__", {}))
    if len(header) > limits.tensors:
        raise LimitExceeded("tensors", limits.tensors, len(header))
    views = [_view(name, row, 8 + length, source, limits) for name, row in header.items()]
    # An empty tensor shares its offset with the one that follows it.
    views.sort(key=lambda view: (view.storage.offset, view.storage.size))
    position = 8 + length
    for view in views:
        if view.storage.offset != position:
            raise _malformed(f"a hole or an overlap before {view.name}")
        position += view.storage.size
    if position != source.size:
        raise _malformed("the file does not end with its last tensor")
    return tuple(views), metadata


def _malformed(why: str) -> MalformedArtifact:
    return MalformedArtifact("safetensors-malformed", why)


def _header(raw: bytes, limits: Limits) -> dict[str, object]:
    # A list takes two bytes of text and a hundred of memory; a tensor has two lists and an object.
    brackets = raw.count(b"[") + raw.count(b"{")
    if brackets > _BRACKETS * limits.tensors:
        raise LimitExceeded("brackets in a header", _BRACKETS * limits.tensors, brackets)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_int=_integer)
    except RecursionError as error:
        raise _malformed("the header is nested too deeply") from error
    except ValueError as error:
        raise _malformed("the header is no JSON") from error
    if not isinstance(header, dict):
        raise _malformed("the header is no JSON object")
    return header


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedArtifact("duplicate-key", "the safetensors header names a key twice")
    return result


def _integer(text: str) -> int:
    # Other readers take what does not fit 64 bits, and a negative zero, for a float.
    if text == "-0" or len(text) > _DIGITS:
        raise _malformed("an integer of the header is out of range")
    return int(text)


def _metadata(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _malformed("__metadata__ must map strings to strings")
    if any("\ud800" <= c <= "\udfff" for c in "".join((*value, *value.values()))):
        raise _malformed("__metadata__ holds half a character")
    return value


def _view(name: str, row: object, base: int, source: Source, limits: Limits) -> View:
    shown = printable(name)
    if not isinstance(row, dict) or set(row) != _FIELDS:
        raise _malformed(f"{shown}: expected dtype, shape and data_offsets")
    dtype = row["dtype"]
    if not isinstance(dtype, str):
        raise _malformed(f"{shown}: the dtype is no string")
    if dtype not in ITEM_SIZES:
        raise UnsupportedFormat("unsupported-tensor", f"{shown}: dtype {printable(dtype, 40)}")
    shape, offsets = _integers(row["shape"], shown), _integers(row["data_offsets"], shown)
    if len(shape) > limits.dimensions:
        raise LimitExceeded("tensor dimensions", limits.dimensions, len(shape))
    if len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1] <= source.size - base:
        raise _malformed(f"{shown}: data_offsets point outside of the file")
    size = offsets[1] - offsets[0]
    if prod(shape) * ITEM_SIZES[dtype] != size:
        raise _malformed(f"{shown}: shape {shape} of {dtype} does not take {size} bytes")
    storage = Storage(base + offsets[0], size)
    return check_view(View(name, dtype, shape, row_major(shape), 0, storage), limits)


def _integers(value: object, name: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise _malformed(f"{name}: expected a list of integers")
    for item in value:
        if not isinstance(item, int) or isinstance(item, bool) or item < 0:
            raise _malformed(f"{name}: expected non-negative integers")
    return tuple(value)
