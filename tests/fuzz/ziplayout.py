"""A zip taken apart, changed in its parts and put together again, with all sums right or not.

A changed byte nearly always breaks a zip at the first check. Here names, flags, extra fields,
descriptors and contents change while offsets, sizes and checksums follow; afterwards a few of the
numbers may be made wrong on purpose. Knows no reader; layout from APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, field, replace
from random import Random

from tests.fuzz.chance import bytewise, number, poke

_LOCAL, _CENTRAL = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I")
_END, _END64 = struct.Struct("<4s4H2IH"), struct.Struct("<4sQ2H2I4Q")
_NAMES = (
    b"a", b"A", b"archive/data.pkl", b"archive/data/0", b"archive/byteorder", b"archive/version",
    b"model.pth.tar-1", b"folder/", b"folder/x", b"../x", b"/x", b"a\\b", b"c:x", b"a//b", b"",
    "é".encode(), "é".encode("cp437"), "É".encode(), "ß".encode(), b"SS", b"\xff\xfe", b"a\0b",
    "a\u202eb".encode(), b"x" * 300,
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One member: what both of its headers say, its stored bytes, and what is only in one."""

    name: bytes
    stored: bytes
    crc: int = 0
    size: int = 0
    flags: int = 0
    method: int = 0
    needed: int = 20
    local_extra: bytes = b""
    extra: bytes = b""
    comment: bytes = b""
    descriptor: str = ""
    """The layout of a data descriptor; with a leading ``s`` it has a signature."""
    is_wide: bool = False
    """Sizes and offset stand in zip64 fields."""
    local_name: bytes | None = None


@dataclass(frozen=True)
class Layout:
    """A whole zip."""

    parts: tuple[Part, ...] = ()
    comment: bytes = b""
    is_wide: bool = False
    prefix: bytes = b""
    gap: bytes = b""


def plain(name: bytes, content: bytes, *, deflate: bool = False) -> Part:
    """A member that is right in every respect."""
    machine = zlib.compressobj(6, zlib.DEFLATED, -15)
    stored = machine.compress(content) + machine.flush() if deflate else content
    return Part(name, stored, zlib.crc32(content), len(content), method=8 if deflate else 0)


def content_of(part: Part, most: int = 1 << 16) -> bytes:
    """What the member holds; as much of it as can be inflated."""
    if part.method != 8:
        return part.stored
    try:
        return zlib.decompressobj(-15).decompress(part.stored, most)
    except zlib.error:
        return b""


_WIDTHS = {"H": 2, "I": 4, "Q": 8}


@dataclass
class _Writer:
    """The bytes so far, and where numbers stand that may be made wrong."""

    data: bytearray = field(default_factory=bytearray)
    numbers: list[tuple[int, int]] = field(default_factory=list)

    def record(self, layout: struct.Struct, signature: bytes, *values: int) -> None:
        codes = re.findall(r"(\d*)([HIQ])", layout.format)
        widths = [_WIDTHS[code] for times, code in codes for _ in range(int(times or 1))]
        offset = len(self.data) + 4
        for width in widths:
            self.numbers.append((offset, width))
            offset += width
        fitting = (value % (1 << 8 * width) for value, width in zip(values, widths, strict=True))
        self.data += layout.pack(signature, *fitting)


def _zip64(*values: int) -> bytes:
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


def _write_part(out: _Writer, part: Part) -> int:
    offset = len(out.data)
    name = part.name if part.local_name is None else part.local_name
    flags = part.flags | (8 if part.descriptor else 0)
    sums = (part.crc, len(part.stored), part.size)
    extra = part.local_extra
    if part.descriptor:
        sums = (0, 0, 0)
    elif part.is_wide:
        extra = _zip64(part.size, len(part.stored)) + extra
        sums = (part.crc, 0xFFFFFFFF, 0xFFFFFFFF)
    out.record(
        _LOCAL, b"PK\3\4", part.needed, flags, part.method, 0, 33, *sums, len(name), len(extra)
    )
    out.data += name + extra + part.stored
    if part.descriptor:
        out.data += b"PK\7\x08" if part.descriptor.startswith("s") else b""
        layout = part.descriptor.removeprefix("s")
        size = part.size % 2**32
        out.data += struct.pack(f"<{layout}", part.crc, len(part.stored), size)
    return offset


def _write_row(out: _Writer, part: Part, offset: int) -> None:
    flags = part.flags | (8 if part.descriptor else 0)
    sums, extra = (part.crc, len(part.stored), part.size), part.extra
    if part.is_wide:
        extra = _zip64(part.size, len(part.stored), offset) + extra
        sums, offset = (part.crc, 0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF
    sizes = (len(part.name), len(extra), len(part.comment))
    head = (b"PK\1\2", 20, part.needed, flags, part.method, 0, 33)
    out.record(_CENTRAL, *head, *sums, *sizes, 0, 0, 0, offset)
    out.data += part.name + extra + part.comment


def build(layout: Layout) -> tuple[bytes, list[tuple[int, int]]]:
    """The zip, and the offset and width of every number in its records."""
    out = _Writer(bytearray(layout.prefix))
    rows = [(part, _write_part(out, part)) for part in layout.parts]
    out.data += layout.gap
    start = len(out.data)
    for part, offset in rows:
        _write_row(out, part, offset)
    size, count = len(out.data) - start, len(rows)
    narrow = (count, count, size, start)
    if layout.is_wide:
        place = len(out.data)
        out.record(_END64, b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
        out.record(struct.Struct("<4sIQI"), b"PK\6\7", 0, place, 1)
        narrow = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    out.record(_END, b"PK\5\6", 0, 0, *narrow, len(layout.comment))
    out.data += layout.comment
    return bytes(out.data), out.numbers


def parse(data: bytes) -> Layout | None:
    """The layout of a zip that is nearly right; None when it is too broken."""
    try:
        return _parse(data)
    except (struct.error, IndexError, ValueError, OverflowError):
        return None


def _parse(data: bytes) -> Layout:
    found = data.rindex(b"PK\5\6")
    row = _END.unpack_from(data, found)
    position, count = row[6], row[4]
    is_wide = data[found - 20 : found - 16] == b"PK\6\7"
    if is_wide:
        wide = _END64.unpack_from(data, found - 76)
        count, position = wide[7], wide[9]
    parts = []
    for _ in range(min(count, 30)):
        part, length = _parse_row(data, position)
        parts.append(part)
        position += length
    return Layout(tuple(parts), data[found + 22 :], is_wide)


def _parse_row(data: bytes, position: int) -> tuple[Part, int]:
    row = _CENTRAL.unpack_from(data, position)
    after = position + _CENTRAL.size
    name, extra = data[after : after + row[10]], data[after + row[10] :][: row[11]]
    comment = data[after + row[10] + row[11] :][: row[12]]
    stored, size, offset = row[8], row[9], row[16]
    is_wide = 0xFFFFFFFF in (stored, size, offset) and extra[:4] == b"\1\0\x18\0"
    if is_wide:
        size, stored, offset = struct.unpack_from("<3Q", extra, 4)
        extra = extra[28:]
    local = _LOCAL.unpack_from(data, offset)
    begin = offset + _LOCAL.size + local[9] + local[10]
    local_extra = data[begin - local[10] : begin]
    if is_wide and local_extra[:4] == b"\1\0\x10\0":
        local_extra = local_extra[20:]
    part = Part(
        name, data[begin : begin + stored], row[7], size, row[3] & ~8, row[4], row[2],
        local_extra, extra, comment, "s3I" if row[3] & 8 else "", is_wide,
    )  # fmt: skip
    return part, _CENTRAL.size + row[10] + row[11] + row[12]


def _extra_field(rng: Random, part: Part) -> bytes:
    path = b"\1" + struct.pack("<I", zlib.crc32(part.name)) + rng.choice(_NAMES)
    return rng.choice(
        (
            _zip64(part.size),
            _zip64(number(rng, 8), number(rng, 8)),
            struct.pack("<2H", 0x7075, len(path)) + path,
            struct.pack("<2H", number(rng, 2), 3) + b"abc",
            struct.pack("<2H", 0x4246, number(rng, 1)),
            rng.randbytes(3),
        )
    )


def change_part(part: Part, rng: Random) -> Part:
    """``part`` with one thing changed; checksum and sizes follow the content."""
    match rng.randrange(10):
        case 0:
            return replace(part, name=rng.choice(_NAMES))
        case 1:
            return replace(part, local_name=rng.choice(_NAMES))
        case 2:
            return replace(part, flags=part.flags ^ (1 << rng.randrange(16)))
        case 3:
            return replace(part, extra=part.extra + _extra_field(rng, part))
        case 4:
            return replace(part, local_extra=part.local_extra + _extra_field(rng, part))
        case 5:
            return replace(part, descriptor=rng.choice(("", "3I", "s3I", "IQQ", "sIQQ")))
        case 6:
            return replace(part, is_wide=not part.is_wide)
        case 7:
            return replace(part, comment=bytewise(part.comment, rng, 40))
        case 8:
            return replace(
                part, needed=rng.choice((10, 20, 45, 63, 64, 255, 0x0114, number(rng, 2)))
            )
        case _:
            content = bytewise(content_of(part), rng, 300)
            fresh = plain(part.name, content, deflate=rng.random() < 0.5)
            kept = replace(part, stored=fresh.stored, crc=fresh.crc, size=fresh.size)
            return replace(kept, method=fresh.method)


def change(layout: Layout, rng: Random) -> Layout:
    """``layout`` with one part or one thing about the whole changed."""
    parts = list(layout.parts)
    choice = rng.randrange(12)
    here = rng.randrange(len(parts)) if parts else 0
    if choice < 6 and parts:
        parts[here] = change_part(parts[here], rng)
    elif choice == 6 and parts:
        del parts[here]
    elif choice == 7 and parts:
        parts.insert(rng.randint(0, len(parts)), parts[here])
    elif choice == 8:
        content = rng.randbytes(rng.randrange(20))
        parts.insert(here, plain(rng.choice(_NAMES), content, deflate=rng.random() < 0.5))
    elif choice == 9:
        comment = rng.choice((b"", b"note", b"PK\5\6" + bytes(18), b"PK\6\7" + bytes(16)))
        return replace(layout, comment=comment)
    elif choice == 10:
        return replace(layout, is_wide=not layout.is_wide)
    else:
        junk = rng.choice((b"", b"\x80", b"PK\3\4", rng.randbytes(5)))
        is_first = rng.random() < 0.5
        return replace(layout, prefix=junk) if is_first else replace(layout, gap=junk)
    return replace(layout, parts=tuple(parts))


def mutate(data: bytes, rng: Random, longest: int) -> bytes:
    """Another zip: parts changed, then perhaps a few numbers made wrong."""
    layout = parse(data)
    if layout is None or rng.random() < 0.08:
        return bytewise(data, rng, longest)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        layout = change(layout, rng)
    data, numbers = build(layout)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        data = poke(data, *rng.choice(numbers), rng)
    return data[:longest]
