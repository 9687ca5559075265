"""Reading the operands of pickle opcodes from bytes, with limits.

Protocols 0 to 5, as CPython reads them (``Lib/pickle.py``, ``Modules/_pickle.c``); written anew
because ``Lib/pickletools.py`` allocates what the file asks for, has no limits, and reads numbers
otherwise. A number that CPython's two unpicklers read in two ways is refused. Text operands are
decoded by hand, never evaluated. Knows nothing of the stack machine.
"""

from __future__ import annotations

import codecs
import math
import re
import struct
from collections.abc import Callable

from inspector.checkpoint.limits import Limits
from inspector.errors import LimitExceeded, MalformedArtifact

_LINE_LIMIT = 8192
"""Longest text operand of protocol 0 that is no string: names and numbers, in bytes."""
_DIGITS_LIMIT = 1000
"""Longest number on a line, in bytes: conversion takes quadratic time, and
nobody writes longer ones."""
_STRTOL = re.compile(rb"[ \t\v\f\r]*[-+]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
"""What the C library's ``strtol`` takes for a number in base 0: a leading zero means octal."""
_FLOAT = re.compile(
    rb"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?(inf(inity)?|nan)", re.IGNORECASE
)
_INFINITE = re.compile(rb"[-+]?inf(inity)?", re.IGNORECASE)
_LONG_BITS = 63


class Cursor:
    """A position in the bytes of one pickle.

    An operand that crosses the end of its frame is refused: CPython drops what is left of the frame
    and reads on behind it, so it sees another one than stands here (cpython issue 154848). A cursor
    that ``leaps`` does the same.
    """

    def __init__(
        self, data: bytes, limits: Limits, position: int = 0, *, leaps: bool = False
    ) -> None:
        self.data = data
        self.limits = limits
        self.position = position
        self.frame_end = 0
        self.is_lost = False
        """Whether an error left it open where the next opcode begins."""
        self._leaps = leaps

    def fail(self, why: str) -> MalformedArtifact:
        """The error for this position, to be raised by the caller."""
        return MalformedArtifact("pickle-malformed", f"{why} at byte {self.position}")

    def lose(self, why: str) -> MalformedArtifact:
        """The error for a place from which nobody knows how to read on."""
        self.is_lost = True
        return self.fail(why)

    def take(self, count: int, *, is_long: bool = False) -> bytes:
        """The next ``count`` bytes; CPython reads long ones across the end of a frame."""
        end = self.position + count
        if self.position < self.frame_end < end and not (is_long and self._leaps):
            self._cross()
            end = self.position + count
        if end > len(self.data):
            raise self.lose("the pickle ends inside an operand")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def _is_cut_by_frame(self, end: int) -> bool:
        if self.position >= self.frame_end or 0 <= end < self.frame_end:
            return False
        return self.data.find(b"\n", self.position, self.frame_end) < 0

    def _cross(self) -> None:
        if not self._leaps:
            raise self.fail("an operand crosses the end of its frame")
        self.position = self.frame_end

    def unsigned(self, width: int) -> int:
        """The next ``width`` bytes as a little-endian unsigned integer."""
        return int.from_bytes(self.take(width), "little")

    def counted(self, width: int, *, is_long: bool = False) -> bytes:
        """A string that is preceded by its length in ``width`` bytes."""
        length = self.unsigned(width)
        self.check("pickle string bytes", self.limits.string_bytes, length)
        return self.take(length, is_long=is_long)

    def check(self, resource: str, limit: int, length: int) -> None:
        """Raise ``LimitExceeded`` for an operand that is too long, and stand behind it."""
        if length > limit:
            self.is_lost |= self.position + length > len(self.data)
            self.position = min(self.position + length, len(self.data))
            raise LimitExceeded(resource, limit, length)

    def line(self, longest: int = _LINE_LIMIT) -> bytes:
        """The bytes up to the next newline, which is consumed."""
        end = self.data.find(b"\n", self.position, self.position + longest + 1)
        if self._is_cut_by_frame(end):
            self._cross()
            end = self.data.find(b"\n", self.position, self.position + longest + 1)
        if end < 0:
            raise self.lose("an operand has no end of line")
        piece = self.data[self.position : end]
        self.position = end + 1
        return piece

    def name(self) -> str:
        """A line that holds the name of a module, class or attribute."""
        raw = self.line()
        try:
            return self.decoded(raw, "utf-8")
        except MalformedArtifact:
            self.is_lost = True
            raise

    def decoded(self, raw: bytes, encoding: str) -> str:
        """``raw`` as text; surrogates are allowed where pickle allows them."""
        try:
            return raw.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
        except UnicodeDecodeError as error:
            raise self.fail("a string cannot be decoded") from error

    def index(self) -> int:
        """The place of a memo entry on a line, in base 10, where leading zeros mean nothing."""
        raw = self.digits()
        try:
            return int(raw)
        except ValueError as error:
            raise self.fail("a decimal integer is malformed") from error

    def digits(self) -> bytes:
        """A line that holds a number."""
        raw = self.line()
        if len(raw) > _DIGITS_LIMIT or b"\0" in raw:
            # The C unpickler stops at a zero byte, the other one refuses it.
            raise self.fail("a number is malformed")
        return raw

    def number(self, raw: bytes) -> int:
        """``raw`` in base 0, as Python's own literals are written: 16, 0x10, 1_000."""
        try:
            return int(raw, 0)
        except ValueError as error:
            raise self.fail("an integer is malformed") from error


def _int_line(cursor: Cursor) -> object:
    raw = cursor.digits()
    # Protocol 0 writes booleans as I01 and I00.
    if raw in (b"01", b"00"):
        return raw == b"01"
    value = cursor.number(raw)
    by_c = _STRTOL.fullmatch(raw)
    if by_c is None or value.bit_length() > _LONG_BITS:
        # Then the C unpickler asks Python, too.
        return value
    if len(raw) == 2 and value in (0, 1):
        # The C unpickler takes every zero and one of two characters for a boolean.
        raise cursor.fail("an integer that CPython's two unpicklers read in two ways")
    return value


def _long_line(cursor: Cursor) -> object:
    # An L ends every long of Python 2 and of protocol 0.
    return cursor.number(cursor.digits().removesuffix(b"L"))


def _long(width: int) -> Callable[[Cursor], object]:
    def read(cursor: Cursor) -> object:
        length = cursor.unsigned(width)
        cursor.check("pickle integer bytes", cursor.limits.integer_bytes, length)
        return int.from_bytes(cursor.take(length), "little", signed=True)

    return read


def _float_line(cursor: Cursor) -> object:
    raw = cursor.digits()
    if not _FLOAT.fullmatch(raw):
        raise cursor.fail("a float is malformed")
    value = float(raw)
    if math.isinf(value) and not _INFINITE.fullmatch(raw):
        raise cursor.fail("a float that CPython's two unpicklers read in two ways")
    return value


def _quoted(cursor: Cursor) -> object:
    raw = cursor.line(cursor.limits.string_bytes)
    if len(raw) < 2 or raw[0] != raw[-1] or raw[:1] not in (b"'", b'"'):
        raise cursor.fail("a quoted string is malformed")
    try:
        return cursor.decoded(codecs.escape_decode(raw[1:-1])[0], "utf-8")
    except ValueError as error:
        raise cursor.fail("a quoted string has a bad escape") from error


def _text_line(cursor: Cursor) -> object:
    return cursor.decoded(cursor.line(cursor.limits.string_bytes), "raw-unicode-escape")


def _text(width: int) -> Callable[[Cursor], object]:
    return lambda cursor: cursor.decoded(cursor.counted(width), "utf-8")


def _bytes(width: int) -> Callable[[Cursor], object]:
    return lambda cursor: cursor.counted(width, is_long=True)


def _python2_text(width: int) -> Callable[[Cursor], object]:
    # torch reads strings of Python 2 as UTF-8; bytes remain when they are none.
    def read(cursor: Cursor) -> object:
        raw = cursor.counted(width)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw

    return read


LITERALS: dict[int, Callable[[Cursor], object]] = {
    ord("N"): lambda cursor: None,
    0x88: lambda cursor: True,
    0x89: lambda cursor: False,
    ord("I"): _int_line,
    ord("L"): _long_line,
    ord("J"): lambda cursor: int.from_bytes(cursor.take(4), "little", signed=True),
    ord("K"): lambda cursor: cursor.unsigned(1),
    ord("M"): lambda cursor: cursor.unsigned(2),
    0x8A: _long(1),
    0x8B: _long(4),
    ord("F"): _float_line,
    ord("G"): lambda cursor: struct.unpack(">d", cursor.take(8))[0],
    ord("S"): _quoted,
    ord("V"): _text_line,
    ord("U"): _python2_text(1),
    ord("T"): _python2_text(4),
    0x8C: _text(1),
    ord("X"): _text(4),
    0x8D: _text(8),
    ord("C"): _bytes(1),
    ord("B"): _bytes(4),
    0x8E: _bytes(8),
    0x96: _bytes(8),
    ord(")"): lambda cursor: (),
    ord("]"): lambda cursor: [],
}
"""Opcodes that only push a value which their operand spells out."""
