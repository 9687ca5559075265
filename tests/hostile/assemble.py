"""Pickle programs by hand: opcodes for values, calls, tensors and whole checkpoints.

Written for protocol 2 unless a name says otherwise. Knows no container.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence

CANARY = "touch CANARY"
"""Relative to wherever the payload would run; the tests look for the file."""


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def short(value: str) -> bytes:
    """SHORT_BINUNICODE, protocol 4."""
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def number(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def numbers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def value(content: object) -> bytes:
    """A plain value, pickled at protocol 2 without its frame of opcodes."""
    return pickle.dumps(content, 2)[2:-1]


def named(module: str, name: str) -> bytes:
    return b"c" + module.encode("utf-8", "surrogatepass") + b"\n" + name.encode() + b"\n"


def stacked(module: str, name: str) -> bytes:
    """STACK_GLOBAL, protocol 4."""
    return short(module) + short(name) + b"\x93"


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


def stacked_call(module: str, name: str, *arguments: bytes) -> bytes:
    return stacked(module, name) + b"(" + b"".join(arguments) + b"tR"


def system(command: str = CANARY) -> bytes:
    return call("posix", "system", text(command))


def text_call(module: str, name: str, argument: str) -> bytes:
    """A call in protocol 0."""
    return f"c{module}\n{name}\n(S{argument!r}\ntR".encode()


def storage(
    key: str, count: int, kind: str = "FloatStorage", module: str = "torch", location: str = "cpu"
) -> bytes:
    """The persistent id of a storage."""
    parts = (text("storage"), named(module, kind), text(key), text(location), number(count))
    return b"(" + b"".join(parts) + b"tQ"


def tensor(
    key: str,
    count: int,
    shape: Sequence[int],
    stride: Sequence[int],
    start: int = 0,
    *,
    kind: str = "FloatStorage",
    tail: bytes = b"",
    stored: bytes = b"",
) -> bytes:
    """``_rebuild_tensor_v2``; ``stored`` replaces the persistent id, ``tail`` is one argument more."""
    return call(
        "torch._utils",
        "_rebuild_tensor_v2",
        stored or storage(key, count, kind),
        number(start),
        numbers(shape),
        numbers(stride),
        b"\x89",
        named("collections", "OrderedDict") + b")R",
        tail,
    )


def mapping(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"}(" + b"".join(key + item for key, item in pairs) + b"u"


def program(*parts: bytes, protocol: int = 2) -> bytes:
    return b"\x80" + bytes([protocol]) + b"".join(parts) + b"."


def checkpoint(*entries: tuple[str, bytes], protocol: int = 2, after: bytes = b"") -> bytes:
    """A pickle of ``{"state_dict": {...}}``; ``after`` comes last, with the dictionary on the stack."""
    tensors = mapping(*((text(name), item) for name, item in entries))
    return program(mapping((text("state_dict"), tensors)), after, protocol=protocol)


CTX = tensor("0", 64, (4, 16), (16, 1))
"""The one tensor of a CoOp file: 4 context vectors of width 16, in storage 0 of 256 bytes."""


def coop(payload: bytes = b"", protocol: int = 2) -> bytes:
    """A CoOp checkpoint with ``payload`` after it, whose result is dropped."""
    return checkpoint(("ctx", CTX), protocol=protocol, after=payload + b"0" if payload else b"")
