"""A tar reader that refuses every ambiguity.

Own code instead of ``tarfile``, which reads extended headers of any size into memory, matches them
with a regular expression of quadratic time (CVE-2024-6232), follows negative sizes in a circle
(CVE-2025-8194), and lets a header written earlier override what the next one says. Here a member
has one size and one name, sparse files and unknown types are refused, and nothing but zeros follows
the end. Formats: POSIX.1-2001 ``pax`` and ``ustar``, GNU long names, the tar of Unix V7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from inspector.checkpoint.formats.names import LONGEST, folded, is_safe, shown
from inspector.checkpoint.limits import MIB, Limits
from inspector.checkpoint.source import Source
from inspector.errors import LimitExceeded, MalformedArtifact

BLOCK = 512
_NUMBERS = ((100, 8), (108, 8), (116, 8), (136, 12), (329, 8), (337, 8))
"""Offset and width of what is not used here: mode, owner, group, time, device."""
_LENIENT = re.compile(rb"[0-7][0-7_]*")
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_REGULAR, _DIRECTORY, _NO_CONTENT = b"0\0007", b"5", b"12346"
_PAX_BYTES = 64 * 1024
_PAX_HARMLESS = re.compile(
    r"(path|linkpath|[amc]time|[ug]id|[ug]name|comment|charset|hdrcharset|size)"
    r"|(LIBARCHIVE|SCHILY|RHT|APPLE|MSWINDOWS|com\.apple)\..*"
)

_CHARSETS = re.compile(rb"hdrcharset=(BINARY|ISO-IR 10646 2000 UTF-8)\n")


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member; ``offset`` is that of its content. ``is_file`` is false for links and devices."""

    name: str
    is_file: bool
    is_directory: bool
    offset: int
    size: int


@dataclass(slots=True)
class _Override:
    """What the extended headers before a member say about it."""

    name: str | None = None
    size: int | None = None
    headers: int = 0


def is_header(block: bytes) -> bool:
    """Whether ``block`` has the checksum of a tar header; V7 had no other mark."""
    try:
        return len(block) >= BLOCK and _number(block[148:156]) in _sums(block)
    except MalformedArtifact:
        return False


def may_be_header(block: bytes) -> bool:
    """The same by the most lenient of readers: ``tarfile`` takes ``0o17``, ``+1_7`` and blanks."""
    if len(block) < BLOCK:
        return False
    runs = (run.replace(b"_", b"") for run in _LENIENT.findall(block[148:156]))
    numbers = {int(run, 8) for run in runs} | {int.from_bytes(block[149:156], "big")}
    return not numbers.isdisjoint(_sums(block))


def _sums(block: bytes) -> tuple[int, int]:
    """The checksum of a header, over bytes without and with a sign."""
    plain = block[:148] + b" " * 8 + block[156:BLOCK]
    return sum(plain), sum(plain) - 256 * sum(byte > 127 for byte in plain)


def read_members(source: Source, limits: Limits) -> Iterator[TarMember]:
    """All members in their order.

    Raises:
        MalformedArtifact: any rule of the module is broken, or the tar has no end.
        LimitExceeded: too many members, or an extended header that is too long.
    """
    position, override = 0, _Override()
    names: set[str] = set()
    for _ in range(3 * limits.archive_members + 1):
        block = source.read(position, BLOCK) if position + BLOCK <= source.size else b""
        if not block.strip(b"\0"):
            _check_end(source, position, bool(block))
            if override.headers:
                raise _malformed("an extended header describes no member")
            return
        if not is_header(block):
            raise _malformed("a header does not match its checksum")
        _check_numbers(block)
        kind, size = block[156:157], _number(block[124:136])
        if position + BLOCK + size > source.size:
            raise _malformed("a member is cut off")
        if kind in b"LKxXg":
            _extend(override, kind, _extension(source, position + BLOCK, size))
        else:
            member = _member(block, kind, size, position + BLOCK, override)
            if folded(member.name) in names:
                raise _malformed(f"{shown(member.name)} stands twice")
            names.add(folded(member.name))
            if len(names) > limits.archive_members:
                raise LimitExceeded("tar members", limits.archive_members, len(names))
            yield member
            override = _Override()
        position += BLOCK + -(-size // BLOCK) * BLOCK
    raise _malformed("there are more extended headers than members")


def _malformed(why: str) -> MalformedArtifact:
    return MalformedArtifact("archive-malformed", why)


def _number(raw: bytes) -> int:
    """An octal number, or one in base 256 as GNU writes large ones; never negative."""
    if raw[0] == 0x80:
        return int.from_bytes(raw[1:], "big")
    match = _OCTAL.fullmatch(raw)
    if match is None:
        raise _malformed("a number in a header is malformed")
    return int(match[1] or b"0", 8)


def _check_numbers(block: bytes) -> None:
    # tarfile takes a header with a number that it cannot read for the end of the tar.
    for offset, width in _NUMBERS:
        if block[offset] != 0xFF:
            _number(block[offset : offset + width])


def _extension(source: Source, offset: int, size: int) -> bytes:
    if size > _PAX_BYTES:
        raise LimitExceeded("bytes of an extended tar header", _PAX_BYTES, size)
    # Some readers take the whole block for the content.
    padded = min(-(-size // BLOCK) * BLOCK, source.size - offset)
    content = source.read(offset, padded)
    if content[size:].strip(b"\0"):
        raise _malformed("an extended header is longer than its size")
    return content[:size]


def _extend(override: _Override, kind: bytes, content: bytes) -> None:
    override.headers += 1
    if kind == b"K":
        return
    if kind == b"L":
        name, end, rest = content.partition(b"\0")
        if not end or rest.strip(b"\0"):
            raise _malformed("a long name does not end where it should")
        _set_name(override, _text(name))
        return
    if b"hdrcharset=" in _CHARSETS.sub(b"", content):
        # tarfile looks for it anywhere, in the values of other keys too.
        raise _malformed("an extended header has an unknown character set")
    for key, value in _pax_records(content):
        if not _PAX_HARMLESS.fullmatch(key):
            raise _malformed(f"an extended header sets {shown(key)}")
        if key == "path" or key == "size":
            if kind == b"g":
                raise _malformed(f"a global header sets the {key} of every member")
            if key == "path":
                _set_name(override, _text(value))
            elif override.size is not None or not value.isdigit() or len(value) > 20:
                raise _malformed("an extended header gives a bad size")
            else:
                override.size = int(value)


def _set_name(override: _Override, name: str) -> None:
    if override.name is not None:
        raise _malformed("a member has two long names")
    override.name = name


def _pax_records(content: bytes) -> Iterator[tuple[str, bytes]]:
    r"""The pairs of ``<length> <key>=<value>\n`` records."""
    position = 0
    while position < len(content):
        blank = content.find(b" ", position, position + 8)
        digits = content[position:blank] if blank > 0 else b""
        if not digits.isdigit():
            raise _malformed("an extended header is malformed")
        end = position + int(digits)
        key, equals, value = content[blank + 1 : end - 1].partition(b"=")
        if end > len(content) or end <= blank + 2 or content[end - 1] != 10 or not equals:
            raise _malformed("an extended header is malformed")
        yield _text(key), value
        position = end


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("a name in the tar is not UTF-8") from error


def _member(block: bytes, kind: bytes, size: int, offset: int, override: _Override) -> TarMember:
    own = block[:100].split(b"\0", 1)[0]
    name = _full_name(block, own) if override.name is None else override.name
    if override.size not in (None, size):
        raise _malformed(f"{shown(name)} has two sizes")
    # V7 has no type for folders: the slash says it, and longer names came later.
    is_directory = kind in _DIRECTORY or (kind in b"\0" and own.endswith(b"/"))
    if not is_directory and name.endswith("/"):
        raise _malformed(f"{shown(name)} is a file with the name of a folder")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    name = name.rstrip("/") if is_directory else name
    # "." is the folder itself, as `tar cf x.tar .` writes it.
    if not (is_directory and name in ("", ".")) and (len(name) > LONGEST or not is_safe(name)):
        raise _malformed(f"a member is called {shown(name)}")
    if kind not in _REGULAR + _DIRECTORY + _NO_CONTENT:
        raise _malformed(f"{shown(name)} is of the unusual type {kind!a}")
    if size and (is_directory or kind in _NO_CONTENT):
        raise _malformed(f"{shown(name)} is no file but has content")
    is_file = kind in _REGULAR and not is_directory
    return TarMember(name or ".", is_file, is_directory, offset, size)


def _full_name(block: bytes, own: bytes) -> str:
    prefix = block[345:500].split(b"\0", 1)[0]
    if prefix and block[257:263] != b"ustar\0":
        # Some readers take it for a part of the name in every kind of tar.
        raise _malformed(f"{shown(_text(own))} has a prefix that its kind of tar does not have")
    return _text(prefix + b"/" + own if prefix else own)


def _check_end(source: Source, position: int, has_mark: bool) -> None:
    if not has_mark:
        raise _malformed("the tar has no end; is it complete?")
    rest = source.size - position
    if rest > MIB or source.read(position, rest).strip(b"\0"):
        raise _malformed("bytes follow the end of the tar")
