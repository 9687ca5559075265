"""Files that are small and make a reader work, allocate or recurse without end."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.hostile import assemble as a
from tests.hostile.boxes import torch_zip
from tests.hostile.entry import Entry, bad

_MERSENNE = 2**61 - 1


def _zip(pickled: Callable[[], bytes]) -> Callable[[], bytes]:
    return lambda: torch_zip(pickled())


def _laughs(step: bytes, times: int) -> Callable[[], bytes]:
    return _zip(lambda: b"\x80\x02" + a.text("lol") + step * times + b".")


def _memo_laughs() -> bytes:
    """Billion laughs: each list holds the one before ten times."""
    lists = b"".join(
        b"(" + b"h" + bytes([i]) + (b"h" + bytes([i])) * 9 + b"lq" + bytes([i + 1]) + b"0"
        for i in range(100)
    )
    return b"\x80\x02" + a.text("lol") + b"q\x000" + lists + b"h\x64."


def _collisions() -> bytes:
    """Memo indices that all have one hash."""
    return b"N" + b"".join(b"p%d\n" % (i * _MERSENNE) for i in range(2, 200_000)) + b"."


def _names(count: int) -> bytes:
    return b"\x80\x02" + b"".join(b"cmod%d\nname\n0" % i for i in range(count)) + b"N."


def _deep_state() -> bytes:
    inner = b"N" + b"\x85" * 200_000
    return a.program(a.mapping((a.text("state_dict"), inner)))


def _deep_key() -> bytes:
    return a.program(a.mapping((b"N" + b"\x85" * 200_000, b"N")))


_BOMBS: tuple[tuple[str, str, str, Callable[[], bytes], str], ...] = (
    ("tuples", "a tuple that doubles a million times", "fickling-billionLaughs",
     _laughs(b"2\x86", 900_000), "no-state-dict"),
    ("tuples-limit", "a tuple that doubles until the opcodes run out", "fickling-billionLaughs",
     _laughs(b"2\x86", 1_100_000), "limit-exceeded"),
    ("memo-laughs", "lists of lists of lists through the memo", "billion laughs",
     _zip(_memo_laughs), "no-state-dict"),
    ("marks", "a million marks", "original", _zip(lambda: b"\x80\x02" + b"(" * 1_000_000),
     "limit-exceeded"),
    ("nested-lists", "lists nested 900 deep", "original",
     _zip(lambda: a.program(b"(" * 900 + b"l" * 900)), "no-state-dict"),
    ("nested-tuples", "tuples nested 1.5 million deep", "original",
     _zip(lambda: a.program(b"N" + b"\x85" * 1_500_000)), "no-state-dict"),
    ("deep-state", "a state_dict 200,000 tuples deep", "original", _zip(_deep_state),
     "no-state-dict"),
    ("deep-key", "a key 200,000 tuples deep", "original", _zip(_deep_key), "no-state-dict"),
    ("dicts", "two million empty dictionaries", "original",
     _zip(lambda: b"\x80\x02" + b"}0" * 900_000 + b"N."), "no-state-dict"),
    ("dicts-kept", "900,000 dictionaries that are kept", "original",
     _zip(lambda: b"\x80\x02" + b"}" * 900_000 + b"."), "no-state-dict"),
    ("stack", "1.5 million values on the stack", "original",
     _zip(lambda: b"\x80\x02" + b"N" * 1_500_000 + b"."), "limit-exceeded"),
    ("memo", "1.5 million memo entries", "original",
     _zip(lambda: b"\x80\x04" + b"N" + b"\x94" * 1_500_000 + b"."), "limit-exceeded"),
    ("memo-index", "a memo index of four billion: CPython allocates up to it", "original",
     _zip(lambda: b"\x80\x02Nr\xff\xff\xff\xff."), "limit-exceeded"),
    ("memo-negative", "a negative memo index", "original", _zip(lambda: b"Np-1\n."),
     "limit-exceeded"),
    ("memo-collisions", "200,000 memo indices with one hash", "original", _zip(_collisions),
     "limit-exceeded"),
    ("string-length", "a string of two gigabytes that is not there", "original",
     _zip(lambda: b"\x80\x02X\xff\xff\xff\x7f"), "limit-exceeded"),
    ("string-length-8", "a string of 2^62 bytes", "original",
     _zip(lambda: b"\x80\x04\x8d" + struct.pack("<Q", 2**62)), "limit-exceeded"),
    ("string-long", "a string of two megabytes", "original",
     _zip(lambda: a.program(a.text("x" * 2**21))), "limit-exceeded"),
    ("bytes-length", "a bytearray of 2^62 bytes", "original",
     _zip(lambda: b"\x80\x05\x96" + struct.pack("<Q", 2**62)), "limit-exceeded"),
    ("integer", "an integer of a megabyte", "original",
     _zip(lambda: b"\x80\x02\x8b" + struct.pack("<I", 2**20) + bytes(2**20) + b"."),
     "limit-exceeded"),
    ("decimal", "a decimal integer of 8,000 digits, in quadratic time", "CVE-2020-10735",
     _zip(lambda: b"I" + b"9" * 8_000 + b"\n."), "pickle-malformed"),
    ("line", "a line without end", "original", _zip(lambda: b"I" + b"9" * 2**20), "pickle-malformed"),
    ("pickle-size", "a pickle of 17 MB", "original",
     _zip(lambda: b"\x80\x02" + b"N0" * 8_900_000 + b"N."), "limit-exceeded"),
    ("buffers", "NEXT_BUFFER: buffers outside of the pickle", "original",
     _zip(lambda: b"\x80\x05\x97."), "pickle-malformed"),
    ("protocol-9", "a protocol that does not exist", "original", _zip(lambda: b"\x80\x09N."),
     "pickle-malformed"),
    ("opcode", "an unknown opcode", "original", _zip(lambda: b"\x80\x02\xff."), "pickle-malformed"),
    ("octal", "an integer that one unpickler reads as octal", "PickleFuzzer",
     _zip(lambda: b"I010\n."), "pickle-malformed"),
    ("underscore", "an integer with an underscore", "PickleFuzzer", _zip(lambda: b"I1_0\n."),
     "no-state-dict"),
    ("plus", "a boolean to one unpickler, an integer to the other", "PickleFuzzer",
     _zip(lambda: b"I+1\n."), "pickle-malformed"),
    ("float-underscore", "a float with an underscore", "PickleFuzzer", _zip(lambda: b"F1_0\n."),
     "pickle-malformed"),
    ("underflow", "POP on an empty stack", "original", _zip(lambda: b"\x80\x020."),
     "pickle-malformed"),
    ("call-number", "a number is called", "original", _zip(lambda: b"\x80\x02K\x01)R."),
     "pickle-malformed"),
    ("append-none", "None is appended to", "original", _zip(lambda: b"\x80\x02NNa."),
     "pickle-malformed"),
)  # fmt: skip

ENTRIES: tuple[Entry, ...] = (
    *(bad(f"bomb-{name}", what, source, content, finding)
      for name, what, source, content, finding in _BOMBS),
    bad("bomb-names", "5,000 names", "original", _zip(lambda: _names(5_000)),
        "limit-exceeded", "pickle-unknown-global"),
)  # fmt: skip
