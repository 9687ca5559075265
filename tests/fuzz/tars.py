"""Target ``tar``: the members of an uncompressed tar, extended headers included.

Promise: any bytes end in members or an ``ArtifactError``; a tar that is accepted, the standard
library's :mod:`tarfile` reads with the same files and contents.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from random import Random

from inspector.checkpoint.formats.tars import BLOCK, read_members
from inspector.checkpoint.limits import Limits
from inspector.errors import ArtifactError
from tests.fuzz.chance import bytewise, number
from tests.fuzz.target import Disagreement, Scratch, Target, check_refusal

LIMITS = Limits(archive_members=8)
_scratch = Scratch()
_FIELDS = (
    (0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (148, 8), (156, 1), (157, 100),
    (257, 6), (263, 2), (265, 32), (297, 32), (329, 8), (337, 8), (345, 155), (500, 12),
)  # fmt: skip
_NAME, _SIZE, _SUM, _KIND, _MAGIC, _PREFIX = 0, 4, 6, 7, 9, 15
_NAMES = (
    b"a", b"a/", b"./a", b"./", b".", b"a/b", b"../a", b"/a", b"a//b", b"model.pth.tar-1", b"A",
    b"\xff", "é".encode(), b"x" * 100, b"a\\b", b"",
)  # fmt: skip
_PAX = (
    ("path", "b"), ("path", "a/"), ("size", "3"), ("size", "-1"), ("size", "٣"), ("size", "1_0"),
    ("mtime", "1.5"), ("comment", "x"), ("hdrcharset", "BINARY"), ("GNU.sparse.map", "0,1"),
    ("GNU.sparse.size", "9"), ("linkpath", "a"), ("path", "é"), ("", ""), ("uid", "x"),
)  # fmt: skip
_KINDS = b"0000005512346LKxgXS7DMVA\0"


def check(data: bytes) -> bool:
    """Read ``data`` as a tar and compare with :mod:`tarfile`; True when it is accepted."""
    source = _scratch.source(data)
    try:
        members = list(read_members(source, LIMITS))
    except ArtifactError as error:
        check_refusal(error)
        return False
    ours = {
        member.name: source.read(member.offset, member.size) for member in members if member.is_file
    }
    try:
        theirs = _by_tarfile(data) if members else {}
    except Exception as error:
        raise Disagreement(f"tarfile refuses: {type(error).__name__}: {error}") from error
    if ours != theirs:
        raise Disagreement(f"{ours!a} or {theirs!a}"[:600])
    return True


def _by_tarfile(data: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for info in archive:
            if info.isreg():
                file = archive.extractfile(info)
                name = info.name
                while name.startswith("./"):
                    name = name[2:].lstrip("/")
                found[name] = file.read() if file else b""
    return found


def _sealed(header: bytes, rng: Random | None = None) -> bytes:
    """``header`` with the right checksum, written in one of the usual ways."""
    total = sum(header) - sum(header[148:156]) + 8 * 32
    forms = (b"%06o\0 ", b"%07o\0", b"%06o  ", b"  %05o ")
    return header[:148] + (rng.choice(forms) if rng else forms[0]) % total + header[156:]


def _header(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    values = [b""] * len(_FIELDS)
    values[_NAME], values[_SIZE], values[_KIND] = name, b"%011o" % size, kind
    values[_MAGIC], values[_MAGIC + 1] = b"ustar\0", b"00"
    pieces = (
        value[:width].ljust(width, b"\0") for value, (_, width) in zip(values, _FIELDS, strict=True)
    )
    return _sealed(b"".join(pieces))


def _record(key: str, value: str) -> bytes:
    text = f" {key}={value}\n".encode()
    length = len(text) + 1
    while len(str(length)) + len(text) != length:
        length = len(str(length)) + len(text)
    return str(length).encode() + text


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def _extension(rng: Random) -> tuple[bytes, bytes]:
    if rng.random() < 0.4:
        content = rng.choice(_NAMES) + rng.choice((b"\0", b"", b"\0x"))
        return _header(b"././@LongLink", len(content), rng.choice((b"L", b"K"))), content
    content = b"".join(_record(*rng.choice(_PAX)) for _ in range(rng.randrange(1, 4)))
    if rng.random() < 0.2:
        content = bytewise(content, rng, 200)
    return _header(b"PaxHeader", len(content), rng.choice((b"x", b"x", b"x", b"g", b"X"))), content


def _parse(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The headers with their contents, and what follows the last."""
    members: list[tuple[bytes, bytes]] = []
    position = 0
    while len(members) < 20 and data[position : position + BLOCK].strip(b"\0"):
        header = data[position : position + BLOCK].ljust(BLOCK, b"\0")
        try:
            size = int(header[124:136].strip(b" \0") or b"0", 8)
        except ValueError:
            size = 0
        begin = position + BLOCK
        members.append((header, data[begin : begin + max(size, 0)]))
        position = begin + max(0, -(-size // BLOCK)) * BLOCK
    return members, data[position:]


def _field(header: bytes, rng: Random) -> bytes:
    """``header`` with another value in one field."""
    index = rng.choice((_NAME, _SIZE, _KIND, _KIND, _MAGIC, _PREFIX, rng.randrange(len(_FIELDS))))
    offset, width = _FIELDS[index]
    old = header[offset : offset + width]
    if index == _KIND:
        value = bytes([rng.choice(_KINDS)])
    elif index in (_NAME, _PREFIX):
        value = rng.choice(_NAMES)
    elif index == _MAGIC:
        value = rng.choice((b"ustar\0", b"ustar ", b"\0" * 6, b"ustar"))
    elif rng.random() < 0.4:
        size = number(rng, 2)
        forms = (
            b"%011o" % size,
            b"%o " % size,
            b" %o\0" % size,
            b"\x80" + size.to_bytes(11, "big"),
        )
        value = rng.choice((*forms, b"\xff" * 12, b"-1", b"0o7", b"1_0", b"8", b"7\0x", b"7 7"))
    else:
        value = bytewise(old, rng, width)
    return header[:offset] + value[:width].ljust(width, b"\0") + header[offset + width :]


def change_content(data: bytes, change: Callable[[bytes], bytes], rng: Random) -> bytes:
    """``data`` with the content of one member changed, and its size with it."""
    members, rest = _parse(data)
    if not members:
        return data
    here = rng.randrange(len(members))
    header, content = members[here]
    content = change(content)
    header = _sealed(header[:124] + b"%011o\0" % len(content) + header[136:])
    members[here] = header, content
    return b"".join(head + _padded(body) for head, body in members) + rest


def mutate(data: bytes, rng: Random, longest: int) -> bytes:
    """Another tar: fields, members and extensions changed, checksums mostly right."""
    if rng.random() < 0.1:
        return bytewise(data, rng, longest)
    members, rest = _parse(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        here = rng.randrange(len(members)) if members else 0
        match rng.randrange(7):
            case 0:
                members.insert(here, _extension(rng))
            case 1:
                content = rng.randbytes(rng.choice((0, 1, 3, 8, 512, 513)))
                members.insert(here, (_header(rng.choice(_NAMES), len(content)), content))
            case 2 if members:
                del members[here]
            case 3 if members:
                members.insert(rng.randint(0, len(members)), members[here])
            case 4:
                rest = rng.choice((bytes(1024), bytes(512), b"", bytes(1500), bytes(1024) + b"x"))
            case _ if members:
                header, content = members[here]
                members[here] = _sealed(_field(header, rng), rng), content
    return (b"".join(head + _padded(content) for head, content in members) + rest)[:longest]


def seeds() -> list[bytes]:
    """Tars as :mod:`tarfile` writes them in its three formats, with long names and links."""
    found = []
    for layout in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        for long in ("f", "d" * 90 + "/" + "f" * 60):
            file = io.BytesIO()
            with tarfile.open(fileobj=file, mode="w", format=layout) as archive:
                folder = tarfile.TarInfo("./run")
                folder.type = tarfile.DIRTYPE
                archive.addfile(folder)
                info = tarfile.TarInfo(long)
                info.size, info.mtime = 5, 7
                archive.addfile(info, io.BytesIO(b"hello"))
                link = tarfile.TarInfo("link")
                link.type, link.linkname = tarfile.SYMTYPE, long[:90]
                archive.addfile(link)
                end = archive.offset
            # What fills the last record of 20 blocks only makes inputs long.
            found.append(file.getvalue()[: end + 1024])
    return found


TARGET = Target("tar", seeds, check, mutate, longest=6144)
