"""Safetensors whose header lies: Trail of Bits' audit of the format, and denial of service."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.hostile.boxes import CTX_ROW, FLOATS, row, safetensors_of, torch_zip
from tests.hostile.entry import Entry, bad

_AUDIT = "Trail of Bits 2023"
_DOS = "Malicious-safetensor-poc"


def _header(header: object, data: bytes = FLOATS, length: int | None = None) -> Callable[[], bytes]:
    return lambda: safetensors_of(header, data, length)


def _text(header: str, data: bytes = FLOATS) -> Callable[[], bytes]:
    """``@`` stands for the row of a tensor that fits."""
    return lambda: safetensors_of(header.replace("@", _CTX).encode(), data)


_CTX = json.dumps(CTX_ROW)
_BAD = "safetensors-malformed"
_LIES: tuple[tuple[str, str, str, Callable[[], bytes], str], ...] = (
    ("length-63", "a header of 2^63 bytes", _DOS, _header({"ctx": CTX_ROW}, FLOATS, 2**63),
     "not-a-checkpoint"),
    ("length-100m", "a header of 100 MB that is not there", _DOS,
     _header({"ctx": CTX_ROW}, FLOATS, 100_000_000), "limit-exceeded"),
    ("length-cut", "a header that is longer than the file", _AUDIT,
     _header({"ctx": CTX_ROW}, FLOATS, 5000), _BAD),
    ("length-short", "a header that ends inside its JSON", _AUDIT,
     _header({"ctx": CTX_ROW}, FLOATS, 20), _BAD),
    ("length-zero", "a header of no bytes", _AUDIT, _header({"ctx": CTX_ROW}, FLOATS, 0), _BAD),
    ("keys-100k", "100,000 keys", _DOS,
     _header({f"k{i}": row(0, 0, [0]) for i in range(100_000)}, b""), "limit-exceeded"),
    ("deep", "lists nested 200,000 deep", _DOS, _text('{"a":' + "[" * 200_000), "limit-exceeded"),
    ("deep-less", "lists nested 50,000 deep", _DOS, _text('{"a":' + "[" * 50_000), _BAD),
    ("lists-2m", "two million empty lists", _DOS,
     _text('{"a":[' + "[]," * 2_000_000 + "0]}"), "limit-exceeded"),
    ("number-long", "a number of 100,000 digits", _DOS,
     _text('{"ctx":{"dtype":"F32","shape":[' + "9" * 100_000 + '],"data_offsets":[0,256]}}'), _BAD),
    ("shape-huge", "a shape whose product is 2^124", _AUDIT,
     _header({"ctx": row(0, 256, [2**62, 2**62])}), _BAD),
    ("shape-wraps", "a shape whose product is 64 modulo 2^64", _AUDIT,
     _header({"ctx": row(0, 256, [2**62 + 16, 4])}), _BAD),
    ("shape-negative", "negative sizes", _AUDIT, _header({"ctx": row(0, 256, [-4, -16])}), _BAD),
    ("shape-bool", "sizes that are booleans", "original",
     _header({"ctx": row(0, 4, [True])}, b"1234"), _BAD),
    ("shape-float", "sizes that are floats", "original", _header({"ctx": row(0, 256, [4.0, 16])}),
     _BAD),
    ("shape-1m", "a million dimensions", _DOS, _header({"ctx": row(0, 256, [1] * 1_000_000)}),
     "limit-exceeded"),
    ("offsets-swapped", "an end before the begin", _AUDIT, _header({"ctx": row(256, 0, [4, 16])}),
     _BAD),
    ("offsets-beyond", "an end behind the file", _AUDIT, _header({"ctx": row(0, 512, [8, 16])}),
     _BAD),
    ("offsets-three", "three offsets", "original",
     _header({"ctx": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256, 9]}}), _BAD),
    ("hole", "a hole in front of the only tensor", _AUDIT, _header({"ctx": row(4, 256, [63])}),
     _BAD),
    ("overlap", "two tensors on the same bytes", _AUDIT,
     _header({"ctx": CTX_ROW, "w": row(0, 256, [64])}), _BAD),
    ("tail", "bytes behind the last tensor", _AUDIT, _header({"ctx": CTX_ROW}, FLOATS + b"hi"),
     _BAD),
    ("tail-zip", "a torch zip behind the last tensor", _AUDIT,
     lambda: safetensors_of({"ctx": CTX_ROW}, FLOATS) + torch_zip(), "polyglot"),
    ("key-twice", "one key twice", _AUDIT,
     _text('{"ctx":@,"ctx":@}'), "duplicate-key"),
    ("field-twice", "one field twice", _AUDIT,
     _text('{"ctx":{"dtype":"F16","dtype":"F32","shape":[64],"data_offsets":[0,256]}}'),
     "duplicate-key"),
    ("field-more", "an unknown field", "original", _header({"ctx": {**CTX_ROW, "code": "x"}}), _BAD),
    ("field-less", "a missing field", "original", _header({"ctx": {"dtype": "F32"}}), _BAD),
    ("row-list", "a list in place of a tensor", "original", _header({"ctx": [1, 2]}), _BAD),
    ("top-list", "a list in place of the header", "original", _text("[1,2]"), "not-a-checkpoint"),
    ("dtype-unknown", "an unknown dtype", "original", _header({"ctx": row(0, 256, [64], "F33")}),
     "unsupported-tensor"),
    ("dtype-subbyte", "half a byte for each value", "original",
     _header({"ctx": row(0, 256, [512], "F4")}), "unsupported-tensor"),
    ("metadata-number", "metadata that is no text", "original",
     _header({"__metadata__": {"a": 1}, "ctx": CTX_ROW}), _BAD),
    ("metadata-list", "metadata that is a list", "original",
     _header({"__metadata__": [], "ctx": CTX_ROW}), _BAD),
    ("not-utf8", "a key that is not UTF-8", "original",
     lambda: safetensors_of(b'{"\xff\xfe":' + _CTX.encode() + b"}", FLOATS), _BAD),
    ("name-surrogate", "a key with half a surrogate", "original",
     _text('{"\\ud800":@}'), "tensor-malformed"),
    ("name-rtl", "a key with a right-to-left override", "trojan source",
     _text('{"\\u202ectx":@}'), "tensor-malformed"),
    ("name-nul", "a key with a NUL", "original", _text('{"ctx\\u0000":@}'),
     "tensor-malformed"),
    ("name-long", "a key of 100,000 letters", _DOS, _text('{"' + "x" * 100_000 + '":@}'),
     "limit-exceeded"),
    ("empty-header", "no tensor at all", "original", _header({}, b""), "unknown-family"),
    ("json-nan", "NaN, which is no JSON", "original", _text('{"ctx":NaN}'), _BAD),
    ("json-comment", "a comment behind the header's object", "original",
     _text('{"ctx":@} // x'), _BAD),
)  # fmt: skip

ENTRIES: tuple[Entry, ...] = tuple(
    bad(f"safetensors-{name}", what, source, content, finding, name="model.safetensors")
    for name, what, source, content, finding in _LIES
)
