"""Reading the operands of pickle opcodes from bytes, with limits.

Protocols 0 to 5, as CPython's ``Lib/pickletools.py`` documents them; written anew because that
module allocates what the file asks for and has no limits. Text operands are decoded by hand, never
evaluated. Knows nothing of the stack machine.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable

from inspector.checkpoint.limits import Limits
from inspector.errors import LimitExceeded, MalformedArtifact

_LINE_LIMIT = 8192
"""Longest text operand of protocol 0 that is no string: names and numbers, in bytes."""
# CPython's two unpicklers and Python 2 read other spellings (octal, blanks, signs, underscores) each
# in its own way, and no pickler writes them. Conversion takes quadratic time; nobody writes longer.
_DECIMAL = re.compile(rb"0|-?[1-9][0-9]{0,999}")
_FLOAT = re.compile(rb"-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|-?inf|nan")


class Cursor:
    """A position in the bytes of one pickle."""

    def __init__(self, data: bytes, limits: Limits, position: int = 0) -> None:
        self.data = data
        self.limits = limits
        self.position = position

    def fail(self, why: str) -> MalformedArtifact:
        """The error for this position, to be raised by the caller."""
        return MalformedArtifact("pickle-malformed", f"{why} at byte {self.position}")

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        end = self.position + count
        if end > len(self.data):
            raise self.fail("the pickle ends inside an operand")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def unsigned(self, width: int) -> int:
        """The next ``width`` bytes as a little-endian unsigned integer."""
        return int.from_bytes(self.take(width), "little")

    def counted(self, width: int) -> bytes:
        """A string that is preceded by its length in ``width`` bytes."""
        length = self.unsigned(width)
        if length > self.limits.string_bytes:
            raise LimitExceeded("pickle string bytes", self.limits.string_bytes, length)
        return self.take(length)

    def line(self, longest: int = _LINE_LIMIT) -> bytes:
        """The bytes up to the next newline, which is consumed."""
        end = self.data.find(b"\n", self.position, self.position + longest + 1)
        if end < 0:
            raise self.fail("an operand has no end of line")
        piece = self.data[self.position : end]
        self.position = end + 1
        return piece

    def name(self) -> str:
        """A line that holds the name of a module, class or attribute."""
        return self.decoded(self.line(), "utf-8")

    def decoded(self, raw: bytes, encoding: str) -> str:
        """``raw`` as text; surrogates are allowed where pickle allows them."""
        try:
            return raw.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
        except UnicodeDecodeError as error:
            raise self.fail("a string cannot be decoded") from error

    def decimal(self) -> int:
        """A decimal integer on a line, as picklers write it."""
        raw = self.line()
        if not _DECIMAL.fullmatch(raw):
            raise self.fail("a decimal integer is malformed")
        return int(raw)


def _int_line(cursor: Cursor) -> object:
    # Protocol 0 writes booleans as I01 and I00.
    rest = cursor.data[cursor.position : cursor.position + 3]
    if rest in (b"01\n", b"00\n"):
        cursor.take(3)
        return rest == b"01\n"
    return cursor.decimal()


def _long_line(cursor: Cursor) -> object:
    # An L ends every long of Python 2 and of protocol 0.
    raw = cursor.line().removesuffix(b"L")
    if not _DECIMAL.fullmatch(raw):
        raise cursor.fail("a decimal integer is malformed")
    return int(raw)


def _long(width: int) -> Callable[[Cursor], object]:
    def read(cursor: Cursor) -> object:
        length = cursor.unsigned(width)
        if length > cursor.limits.integer_bytes:
            raise LimitExceeded("pickle integer bytes", cursor.limits.integer_bytes, length)
        return int.from_bytes(cursor.take(length), "little", signed=True)

    return read


def _float_line(cursor: Cursor) -> object:
    raw = cursor.line()
    if not _FLOAT.fullmatch(raw):
        raise cursor.fail("a float is malformed")
    return float(raw)


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
    return lambda cursor: cursor.counted(width)


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
