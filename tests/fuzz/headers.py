"""Target ``safetensors``: the header of a safetensors file.

Promise: any bytes end in views or an ``ArtifactError``; a file that is accepted, the ``safetensors``
library reads with the same names, dtypes, shapes and bytes.
"""

from __future__ import annotations

import json
import struct
from random import Random

import safetensors

from inspector.checkpoint.formats.safetensors import looks_like_safetensors, read_views
from inspector.checkpoint.limits import Limits
from inspector.errors import ArtifactError
from tests.fuzz.chance import bytewise, number, poke
from tests.fuzz.target import Disagreement, Scratch, Target, check_refusal

LIMITS = Limits(header_bytes=1500, tensors=6, dimensions=4)
_scratch = Scratch()
_DTYPES = {
    "F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "BOOL": 1, "U16": 2, "U32": 4, "U64": 8, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
_ODD_DTYPES = {"F8_E8M0": 1, "F4": 1, "C64": 8, "f32": 4, "": 1}
_NAMES = ("ctx", "a", "b", "é", "token_prefix", "meta_net.linear1.weight")
_ODD_NAMES = ("__metadata__", "", "a\u202e", "x" * 600)
_ODD_SHARE = 0.05
_TEXTS = (
    b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"\\/"', b"-0", b"-1", b"1.0", b"1e2", b"01",
    b"NaN", b"Infinity", b"null", b"true", b"[]", b"{}", b"[[0]]", b"18446744073709551615",
    b"18446744073709551616", b"9223372036854775808", b"1" * 400, b"[" * 200, b" ", b"\t\n\r ",
    b"\xef\xbb\xbf", b"\x0b", b"\xc2\xa0", b"\x00", b"\x7f", b'""', b",", b"//", b'"a":0,',
)  # fmt: skip


def check(data: bytes) -> bool:
    """Read ``data`` and compare with the library; True when it is accepted."""
    source = _scratch.source(data)
    looks_like_safetensors(source)
    try:
        views, _metadata = read_views(source, LIMITS)
    except ArtifactError as error:
        check_refusal(error)
        return False
    try:
        theirs = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise Disagreement(f"the library refuses: {error}") from error
    ours = {
        view.name: (view.dtype, list(view.shape), source.read(view.first_byte, view.size))
        for view in views
    }
    read = {name: (row["dtype"], row["shape"], bytes(row["data"])) for name, row in theirs}
    if ours != read or len(views) != len(theirs):
        raise Disagreement(f"{ours!a} or {read!a}"[:600])
    return True


def _row(rng: Random, begin: int) -> tuple[dict[str, object], int]:
    known = _ODD_DTYPES if rng.random() < _ODD_SHARE else _DTYPES
    dtype = rng.choice(list(known))
    shape = [rng.choice((0, 1, 1, 2, 3, 5)) for _ in range(rng.randrange(5))]
    size = known[dtype]
    for extent in shape:
        size *= extent
    if rng.random() < _ODD_SHARE:
        shape[:1] = [number(rng, 8), 0]
    row: dict[str, object] = {
        "dtype": dtype, "shape": shape, "data_offsets": [begin, begin + size]
    }  # fmt: skip
    return row, begin + size


def file_of(header: bytes, values: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + values


def _grown(rng: Random) -> bytes:
    """A random file that is nearly right."""
    header: dict[str, object] = {}
    position = 0
    names = rng.sample(_NAMES, rng.randrange(5))
    if rng.random() < _ODD_SHARE:
        names.append(rng.choice(_ODD_NAMES))
    for name in names:
        header[name], position = _row(rng, position)
    if rng.random() < 0.3:
        header["__metadata__"] = {"format": rng.choice(("pt", "é", ""))}
    keys = rng.sample(list(header), len(header))
    text = json.dumps({key: header[key] for key in keys}, ensure_ascii=rng.random() < 0.5)
    padding = b" " * rng.choice((0, 0, 3, 8))
    return file_of(text.encode() + padding, rng.randbytes(min(position, 1000)))


def _edited(header: bytes, rng: Random) -> bytes:
    """``header`` with one token, number or stretch of text changed."""
    choice = rng.randrange(5)
    here = rng.randint(0, len(header))
    if choice == 0:
        return header[:here] + rng.choice(_TEXTS) + header[here:]
    if choice == 1:
        places = [i for i, byte in enumerate(header) if byte in b"0123456789"]
        if places:
            here = rng.choice(places)
            fresh = rng.choice((str(number(rng, 8)).encode(), rng.choice(_TEXTS)))
            return header[:here] + fresh + header[here + 1 :]
    if choice == 2:
        places = [i for i, byte in enumerate(header) if byte in b'",:[]{}']
        if places:
            here = rng.choice(places)
            return header[:here] + rng.choice(_TEXTS) + header[here + rng.randrange(2) :]
    if choice == 3:
        # A stretch twice: keys that stand twice.
        there = min(len(header), here + rng.randrange(1, 60))
        return header[:there] + b"," + header[here:there] + header[there:]
    return bytewise(header, rng, 1200)


def mutate(data: bytes, rng: Random, longest: int) -> bytes:
    """Another file: grown anew, or ``data`` with its text changed and its length kept right."""
    choice = rng.random()
    if choice < 0.25 or len(data) < 9:
        return _grown(rng)[:longest]
    if choice < 0.35:
        return bytewise(data, rng, longest)
    if choice < 0.4:
        return poke(data, 0, 8, rng)
    length = int.from_bytes(data[:8], "little")
    header, values = data[8 : 8 + length], data[8 + length :]
    for _ in range(rng.choice((1, 1, 2))):
        header = _edited(header, rng)
    if rng.random() < 0.1:
        values = bytewise(values, rng, 500)
    return file_of(header, values)[:longest]


def seeds() -> list[bytes]:
    """Headers as the library writes them, with metadata, padding, escapes and empty tensors."""
    rng = Random(0)
    found = [_grown(rng) for _ in range(40)]
    entry = b'{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    found.append(file_of(b"{}", b""))
    found.append(file_of(b'{"__metadata__":{"\\u00e9":"\\n"},"a":' + entry + b"}", bytes(8)))
    found.append(file_of(b'{"a":' + entry + b',"b":' + entry + b"}", bytes(8)))
    found.append(file_of(b'{"a":{"dtype":"U8","shape":[0,7],"data_offsets":[0,0]}}', b""))
    return found


TARGET = Target("safetensors", seeds, check, mutate, longest=2048)
