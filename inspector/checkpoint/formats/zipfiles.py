"""A zip reader that refuses every ambiguity.

Two programs that read one zip differently are how scanners are bypassed: one looks at the central
directory, the other at the local headers, one stops at a bad checksum, the other does not. Here
both descriptions of a member must agree, names must be unique even without regard to case (torch's
own reader ignores it) and to how letters are composed (file systems ignore that), members must
follow each other without gap or overlap, and the file must begin with the first member and end with
the end record. Only STORED and DEFLATED, no encryption.

Layout: APPNOTE.TXT 6.3.10 sections 4.3 to 4.5. Deliberately knows nothing of torch.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from inspector.checkpoint.formats.names import LONGEST, folded, is_safe, shown
from inspector.checkpoint.limits import MIB, Limits
from inspector.checkpoint.source import Source
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat

STORED, DEFLATED = 0, 8

_LOCAL_MARK = b"PK\x03\x04"
_SALVAGED = 64 * MIB
"""Bytes of a broken zip's pickles that are looked at."""
_WINDOW = 4 * MIB
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")

_FLAG_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_FLAG_DESCRIPTOR = 0x0008
_FLAG_UTF8 = 0x0800
_FLAGS_ALLOWED = 0x0002 | 0x0004 | _FLAG_DESCRIPTOR | _FLAG_UTF8
_EXTRA_ZIP64, _EXTRA_UNICODE_NAME = 0x0001, 0x7075
_DOS_FOLDER = 0x10
_MAX16, _MAX32 = 0xFFFF, 0xFFFF_FFFF
_UNIX, _PLAIN_MODES = 3, (0, stat.S_IFREG, stat.S_IFDIR)
_NEWEST = 63
"""The highest version of APPNOTE.TXT, times ten, that a member may need."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member; all offsets are absolute. ``crc_offsets`` are the places that hold its CRC."""

    name: str
    method: int
    crc: int
    stored_size: int
    size: int
    data_offset: int
    crc_offsets: tuple[int, ...]

    @property
    def is_directory(self) -> bool:
        """By its name alone, which ends in a slash; attributes are not asked."""
        return self.name.endswith("/")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row of the central directory."""

    raw_name: bytes
    flags: int
    method: int
    crc: int
    stored_size: int
    size: int
    header_offset: int
    crc_offset: int


def malformed(why: str) -> MalformedArtifact:
    """The finding `zip-malformed` as an error to raise."""
    return MalformedArtifact("zip-malformed", why)


def read_members(source: Source, limits: Limits) -> tuple[Member, ...]:
    """All members in the order of their place in the file.

    Raises:
        MalformedArtifact: any rule of the module is broken.
        UnsupportedFormat: another compression method, or several disks.
        LimitExceeded: too many members.
    """
    start, size, count, end = _find_directory(source)
    if count > limits.archive_members:
        raise LimitExceeded("zip members", limits.archive_members, count)
    if start + size != end:
        raise malformed("the central directory does not reach to its end record")
    entries = sorted(_entries(source, start, size, count), key=lambda entry: entry.header_offset)
    names: set[str] = set()
    members, position = [], 0
    for entry in entries:
        member, after = _member(source, entry, position, start)
        if folded(member.name) in names:
            raise MalformedArtifact("zip-duplicate-member", f"{member.name} stands twice")
        names.add(folded(member.name))
        members.append(member)
        position = after
    if position != start:
        raise malformed("unclaimed bytes lie before the central directory")
    return tuple(members)


def content(
    source: Source, member: Member, limit: int, *, is_checked: bool = True
) -> Iterator[bytes]:
    """The bytes of one member, checked against its size and, if ``is_checked``, its checksum.

    Raises:
        LimitExceeded: the member is larger than ``limit`` bytes.
        MalformedArtifact: size or checksum do not match, or the compressed data is broken.
    """
    if member.size > limit:
        raise LimitExceeded(f"size of {member.name}", limit, member.size)
    crc = length = 0
    for piece in _inflated(source, member):
        crc = zlib.crc32(piece, crc)
        length += len(piece)
        if length > member.size:
            break
        yield piece
    if length != member.size:
        raise malformed(f"{member.name} has {length} bytes or more instead of {member.size}")
    if is_checked and crc != member.crc:
        raise MalformedArtifact("zip-bad-crc", f"{member.name} does not match its checksum")


def _inflated(source: Source, member: Member) -> Iterator[bytes]:
    pieces = source.stream(member.data_offset, member.stored_size)
    if member.method == STORED:
        yield from pieces
        return
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in pieces:
            while piece:
                yield machine.decompress(piece, MIB)
                piece = machine.unconsumed_tail
        yield machine.flush()
    except zlib.error as error:
        raise malformed(f"{member.name} cannot be decompressed") from error
    if not machine.eof or machine.unused_data:
        raise malformed(f"the compressed data of {member.name} does not end where it should")


def salvaged_pickles(source: Source, limits: Limits) -> Iterator[bytes]:
    """Whatever lies behind a local header whose name ends in ``.pkl``, in a zip that may be broken.

    Only for looking at what others might run; sizes and checksums are not believed, and after
    ``_SALVAGED`` bytes the search ends.
    """
    left = _SALVAGED
    for position in _local_headers(source):
        row = _LOCAL.unpack(source.read(position, _LOCAL.size))
        begin = position + _LOCAL.size + row[9] + row[10]
        name = source.read(
            position + _LOCAL.size, min(row[9], source.size - position - _LOCAL.size)
        )
        if not name.lower().endswith(b".pkl") or begin >= source.size:
            continue
        size = min(row[7] or limits.pickle_bytes, limits.pickle_bytes, source.size - begin, left)
        left -= size
        yield _unchecked(source.read(begin, size), row[3], limits)


def _local_headers(source: Source) -> Iterator[int]:
    """Where something lies that looks like a local header, whole."""
    for start in range(0, source.size, _WINDOW):
        window = source.read(start, min(_WINDOW + _LOCAL.size, source.size - start))
        found = window.find(_LOCAL_MARK)
        while 0 <= found < _WINDOW:
            if start + found + _LOCAL.size <= source.size:
                yield start + found
            found = window.find(_LOCAL_MARK, found + 1)


def _unchecked(raw: bytes, method: int, limits: Limits) -> bytes:
    if method != DEFLATED:
        return raw
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, limits.pickle_bytes)
    except zlib.error:
        return b""


def _find_directory(source: Source) -> tuple[int, int, int, int]:
    """Start, size and number of entries of the central directory, and where it must end."""
    tail_start = max(0, source.size - _END.size - _MAX16)
    tail = source.read(tail_start, source.size - tail_start)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise MalformedArtifact("zip-truncated", "the zip has no end record; is it complete?")
    _sig, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, found)
    if found + _END.size + comment != len(tail):
        raise malformed("bytes follow the end record")
    end = tail_start + found
    if disk or first_disk or here != count:
        raise UnsupportedFormat("unsupported-format", "the zip spans several disks")
    has_locator = end >= _LOCATOR.size and source.read(end - _LOCATOR.size, 4) == b"PK\x06\x07"
    if not has_locator:
        return start, size, count, end
    return _directory64(source, end - _LOCATOR.size, (start, size, count))


def _directory64(
    source: Source, locator: int, narrow: tuple[int, int, int]
) -> tuple[int, int, int, int]:
    _sig, disk, end64, disks = _LOCATOR.unpack(source.read(locator, _LOCATOR.size))
    if disk or disks != 1 or end64 + _END64.size != locator:
        raise malformed("the zip64 end record is not where its locator says")
    row = _END64.unpack(source.read(end64, _END64.size))
    if row[0] != b"PK\x06\x06" or row[1] != _END64.size - 12 or row[4] or row[5]:
        raise malformed("the zip64 end record is malformed")
    here, count, size, start = row[6:]
    wide = (start, size, count)
    for small, large, unknown in zip(narrow, wide, (_MAX32, _MAX32, _MAX16), strict=True):
        if small not in (large, unknown):
            raise MalformedArtifact("zip-header-mismatch", "the two end records disagree")
    if here != count:
        raise malformed("the zip64 end record counts two numbers of members")
    return start, size, count, end64


def _entries(source: Source, start: int, size: int, count: int) -> Iterator[_Entry]:
    if size < count * _CENTRAL.size:
        raise malformed("the central directory is too small for its members")
    # Names and extras are at most 3 x 64 KiB each, so one row at a time stays small.
    position, end = start, start + size
    for _ in range(count):
        row = _CENTRAL.unpack(source.read(position, _CENTRAL.size))
        if row[0] != b"PK\x01\x02":
            raise malformed("a row of the central directory has no signature")
        name_size, extra_size, comment_size, disk = row[10:14]
        if disk:
            raise UnsupportedFormat("unsupported-format", "the zip spans several disks")
        if row[2] & 0xFF > _NEWEST:
            raise UnsupportedFormat("unsupported-format", f"a member needs zip version {row[2]}")
        if row[1] >> 8 == _UNIX and stat.S_IFMT(row[15] >> 16) not in _PLAIN_MODES:
            raise malformed("a member is a link or a device to those who unpack it")
        if name_size > LONGEST:
            raise MalformedArtifact("zip-unsafe-name", f"a member name has {name_size} bytes")
        raw_name = source.read(position + _CENTRAL.size, name_size)
        if row[15] & _DOS_FOLDER and not raw_name.endswith(b"/"):
            # torch takes it for a folder and returns whatever its memory held.
            raise malformed("a file is marked as a folder")
        extra = source.read(position + _CENTRAL.size + name_size, extra_size)
        _check_unicode_name(extra, raw_name)
        stored, plain, offset = _widen(extra, row[8], row[9], row[16])
        yield _Entry(raw_name, row[3], row[4], row[7], stored, plain, offset, position + 16)
        position += _CENTRAL.size + name_size + extra_size + comment_size
    if position != end:
        raise malformed("the central directory has another size than its rows")


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if position + 4 + length > len(extra):
            raise malformed("an extra field is cut off")
        yield kind, extra[position + 4 : position + 4 + length]
        position += 4 + length


def _check_unicode_name(extra: bytes, raw_name: bytes) -> None:
    """Some readers take the name from Info-ZIP's field 0x7075, others from the header."""
    for kind, content in _extra_fields(extra):
        if kind == _EXTRA_UNICODE_NAME and content[5:] != raw_name:
            raise MalformedArtifact("zip-header-mismatch", "a member has two names")


def _widen(extra: bytes, stored: int, plain: int, offset: int) -> tuple[int, int, int]:
    """The sizes and the offset, with those taken from the zip64 field that say so."""
    fields = [content for kind, content in _extra_fields(extra) if kind == _EXTRA_ZIP64]
    if len(fields) > 1:
        raise malformed("a member has two zip64 fields")
    field = fields[0] if fields else b""
    wide = [plain, stored, offset]
    for index, value in enumerate(wide):
        if value == _MAX32:
            if len(field) < 8:
                raise malformed("a zip64 field is missing")
            wide[index] = int.from_bytes(field[:8], "little")
            field = field[8:]
    return wide[1], wide[0], wide[2]


def _member(source: Source, entry: _Entry, position: int, limit: int) -> tuple[Member, int]:
    """The member of one row, and the offset after it, which the next must begin at."""
    name = _name(entry.raw_name, entry.flags)
    if entry.flags & _FLAG_ENCRYPTED:
        raise MalformedArtifact("zip-encrypted", f"{name} is marked as encrypted")
    if entry.flags & ~_FLAGS_ALLOWED:
        raise malformed(f"{name} has the unusual flags 0x{entry.flags:04x}")
    if entry.method not in (STORED, DEFLATED):
        raise UnsupportedFormat("unsupported-format", f"{name}: zip method {entry.method}")
    if name.endswith("/") and entry.size:
        raise malformed(f"{name} is a folder with content")
    if entry.method == STORED and entry.stored_size != entry.size:
        raise malformed(f"{name} is not compressed but has two sizes")
    if entry.header_offset != position:
        raise malformed(f"{name} does not follow the member before it")
    row = _LOCAL.unpack(source.read(position, _LOCAL.size))
    name_size, extra_size = row[9:]
    raw_name = source.read(position + _LOCAL.size, name_size)
    extra = source.read(position + _LOCAL.size + name_size, extra_size)
    _check_unicode_name(extra, raw_name)
    if (row[0], row[2], row[3], raw_name) != (
        _LOCAL_MARK, entry.flags, entry.method, entry.raw_name
    ):  # fmt: skip
        raise MalformedArtifact("zip-header-mismatch", f"{name}: the two headers disagree")
    data = position + _LOCAL.size + name_size + extra_size
    crc_offsets = [entry.crc_offset]
    stored, plain, _ = _widen(extra, row[7], row[8], 0)
    is_blank = bool(entry.flags & _FLAG_DESCRIPTOR) and (row[6], stored, plain) == (0, 0, 0)
    if not is_blank:
        if (row[6], stored, plain) != (entry.crc, entry.stored_size, entry.size):
            raise MalformedArtifact("zip-header-mismatch", f"{name}: the two headers disagree")
        crc_offsets.append(position + 14)
    after = data + entry.stored_size
    if after > limit:
        raise malformed(f"{name} reaches into the central directory")
    if entry.flags & _FLAG_DESCRIPTOR:
        crc_at, after = _descriptor(source, entry, after, name)
        crc_offsets.append(crc_at)
    if after > limit:
        raise malformed(f"{name} reaches into the central directory")
    found = Member(
        name, entry.method, entry.crc, entry.stored_size, entry.size, data, tuple(crc_offsets)
    )
    return found, after


def _descriptor(source: Source, entry: _Entry, position: int, name: str) -> tuple[int, int]:
    """Offset of the checksum inside the data descriptor at ``position``, and its end."""
    raw = source.read(position, min(24, source.size - position))
    for signature in (b"PK\x07\x08", b""):
        for layout in ("<IQQ", "<3I"):
            skip, length = len(signature), struct.calcsize(layout)
            if not raw.startswith(signature) or len(raw) < skip + length:
                continue
            if struct.unpack_from(layout, raw, skip) == (entry.crc, entry.stored_size, entry.size):
                return position + skip, position + skip + length
    raise MalformedArtifact("zip-header-mismatch", f"{name}: its data descriptor disagrees")


def _name(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & _FLAG_UTF8 else "cp437")
    except UnicodeDecodeError as error:
        raise MalformedArtifact("zip-unsafe-name", "a name marked as UTF-8 is none") from error
    if not is_safe(name):
        raise MalformedArtifact("zip-unsafe-name", f"a member is called {shown(name)}")
    return name
