"""Zips that two readers read differently, and torch zips whose records do not fit together."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.hostile import assemble as a
from tests.hostile.boxes import FLOATS, Part, tar_member, tar_of, torch_parts, torch_zip, zip_of
from tests.hostile.entry import Entry, bad, code

_UTF8 = 0x0800


def _change(position: int, **change: object) -> Callable[[], bytes]:
    """The torch zip with fields of one member overwritten: 0 is the pickle, 2 the storage."""

    def build() -> bytes:
        parts = torch_parts()
        old = parts[position]
        parts[position] = Part(old.name, old.data, **change)  # type: ignore[arg-type]
        return zip_of(parts)

    return build


def _more(*parts: Part) -> Callable[[], bytes]:
    return lambda: zip_of([*torch_parts(), *parts])


def _whole(**fields: object) -> Callable[[], bytes]:
    return lambda: zip_of(torch_parts(), **fields)  # type: ignore[arg-type]


def _renamed(name: str | bytes) -> Callable[[], bytes]:
    is_utf8 = isinstance(name, str) and not name.isascii()
    return _more(Part(name, b"x", flags=_UTF8 if is_utf8 else 0))


def _zip64(*fields: bytes) -> bytes:
    return b"".join(struct.pack("<2H", 1, len(field)) + field for field in fields)


def _swapped_directory() -> bytes:
    """Two central directories; the end record points to one, its own place to the other."""
    whole = torch_zip()
    other = torch_zip(a.coop(a.system()))
    return other[: other.rfind(b"PK\x05\x06")] + whole


def _unicode_path(name: bytes) -> bytes:
    content = b"\x01" + struct.pack("<I", 0) + name
    return struct.pack("<2H", 0x7075, len(content)) + content


def _zip_in_zip(depth: int) -> bytes:
    inner = torch_zip()
    for _ in range(depth):
        inner = zip_of([Part("run/model.pth.tar-50", inner)])
    return inner


def _polyglot_tar() -> bytes:
    data = bytearray(torch_zip())
    data[257:262] = b"ustar"
    return bytes(data)


_DESCRIPTOR = 0x0008
_BLANK = {"crc": 0, "stored": 0, "size": 0}

ENTRIES: tuple[Entry, ...] = (
    bad("crc-central", "the central directory has another checksum", "CVE-2025-10156",
        _change(2, central={"crc": 1}), "zip-header-mismatch"),
    bad("crc-both", "both headers have a wrong checksum of the values", "CVE-2025-10156",
        _change(2, local={"crc": 1}, central={"crc": 1}), "zip-bad-crc"),
    bad("crc-zero", "the checksum is zero, which some readers do not check", "CVE-2025-10156",
        _change(2, local={"crc": 0}, central={"crc": 0}), "zip-bad-crc"),
    bad("crc-version", "a wrong checksum of a record that nobody needs", "original",
        _change(3, local={"crc": 9}, central={"crc": 9}), "zip-bad-crc"),
    *(
        bad(f"flag-{bit:04x}", "an encryption flag without encryption", "CVE-2025-1945",
            _change(0, flags=bit), "zip-encrypted")
        for bit in (0x0001, 0x0040, 0x2000, 0x0041)
    ),
    *(
        bad(f"flag-{bit:04x}", "a flag that no writer of checkpoints sets", "CVE-2025-1945",
            _change(0, flags=bit), "zip-malformed")
        for bit in (0x0010, 0x0020, 0x0080, 0x4000)
    ),
    bad("flag-local-only", "an encryption flag in the local header only", "CVE-2025-1945",
        _change(0, local={"flags": 1}), "zip-header-mismatch"),
    bad("flag-central-only", "an encryption flag in the central directory only", "CVE-2025-1945",
        _change(0, central={"flags": 1}), "zip-encrypted"),
    bad("name-mismatch", "the two headers have two names", "CVE-2025-1944",
        _change(0, local_name=b"archive/data.pk1"), "zip-header-mismatch"),
    bad("size-mismatch", "the two headers have two sizes", "original",
        _change(2, local={"size": 8, "stored": 8}), "zip-header-mismatch"),
    bad("method-mismatch", "the two headers have two methods", "original",
        _change(2, local={"method": 8}), "zip-header-mismatch"),
    bad("stored-two-sizes", "a stored record with two sizes", "original",
        _change(2, central={"size": 999}), "zip-malformed"),
    code("duplicate", "two pickles of one name", "CVE-2025-1944",
        _more(Part("archive/data.pkl", a.coop(a.system()))), "zip-duplicate-member"),
    code("duplicate-case", "two names that differ by case: torch's reader ignores case", "original",
        _more(Part("archive/DATA.PKL", a.coop(a.system()))), "zip-duplicate-member"),
    bad("duplicate-composed", "two names that differ by how a letter is composed", "original",
        _more(Part("archive/data/é", b"x", flags=0x800),
              Part("archive/data/e\u0301", b"x", flags=0x800)),
        "zip-duplicate-member"),
    bad("duplicate-slash", "a file and a folder of one name", "original",
        _more(Part("archive/data.pkl/", b"")), "zip-duplicate-member"),
    *(
        bad(f"name-{label}", what, source, _renamed(name), "zip-unsafe-name")
        for label, what, source, name in (
            ("up", "a member above its folder", "zip-slip CVE-2018-1002200", "../evil.sh"),
            ("up-deep", "a member above its folder, from inside", "zip-slip", "archive/../../x"),
            ("absolute", "an absolute path", "zip-slip", "/etc/cron.d/x"),
            ("drive", "a drive letter", "zip-slip", "C:/x"),
            ("backslash", "a backslash, which is a separator on Windows", "zip-slip", "archive\\..\\x"),
            ("device", "the name of a Windows device", "original", "archive/CON"),
            ("device-suffix", "a Windows device with a suffix", "original", "archive/aux.pt"),
            ("dot-end", "a full stop at the end, which Windows drops", "original", "archive/data.pkl."),
            ("blank-end", "a blank at the end, which Windows drops", "original", "archive/data.pkl "),
            ("nul", "a NUL, where C stops reading", "CVE-2025-1944", b"archive/data\0.txt"),
            ("rtl", "a right-to-left override", "trojan source", "archive/\u202elkp.atad"),
            ("newline", "a line break", "original", "archive/a\nb"),
            ("escape", "an escape sequence for a terminal", "original", "archive/\x1b[2Jx"),
            ("empty", "an empty name", "original", ""),
            ("double-slash", "an empty part", "original", "archive//x"),
            ("long", "a name of 5000 characters", "original", "archive/" + "x" * 5000),
        )
    ),
    bad("overlong-utf8", "a full stop in overlong UTF-8: not UTF-8, so not a full stop", "original",
        _renamed(b"archive/\xc0\xae\xc0\xae/x"), "torch-malformed"),
    bad("overlong-utf8-marked", "the same in a name that is marked as UTF-8", "original",
        _more(Part(b"archive/\xc0\xae\xc0\xae/x", b"x", flags=_UTF8)), "zip-unsafe-name"),
    bad("root-two", "two root folders", "original", _renamed("other/data.pkl"), "torch-malformed"),
    bad("unknown-record", "a record that torch does not write", "original",
        _renamed("archive/extra.bin"), "torch-malformed"),
    bad("compressed", "a compressed record, which torch would map as it stands", "original",
        lambda: zip_of([Part(p.name, p.data, deflate=True) for p in torch_parts()]),
        "torch-malformed"),
    bad("method-bzip2", "another compression method", "original",
        _change(2, local={"method": 12}, central={"method": 12}), "unsupported-format"),
    bad("prefix", "bytes before the zip: a shell script, say", "polyglot",
        _whole(prefix=b"#!/bin/sh\nrm -rf /\n"), "polyglot"),
    code("like-torchscript", "code/ beside the pickle, as in TorchScript, and no constants.pkl: torch runs the pickle",
         "original", lambda: zip_of([Part("m/data.pkl", a.coop(a.system())), Part("m/code/x.py", b"x")]),
         "unsupported-format"),
    code("prefix-zip", "a zip before the zip", "polyglot",
        lambda: torch_zip(a.coop(a.system())) + torch_zip(), "zip-malformed"),
    code("two-directories", "two central directories", "original", _swapped_directory,
        "zip-malformed"),
    bad("suffix", "bytes after the end record", "polyglot",
        lambda: torch_zip() + b"<script>", "zip-malformed"),
    bad("suffix-long", "100 KB after the end record", "polyglot",
        lambda: torch_zip() + bytes(100_000), "zip-truncated"),
    bad("comment-end", "a comment that holds another end record", "CVE-2025-1944",
        _whole(comment=b"PK\x05\x06" + bytes(18)), "zip-malformed"),
    bad("comment-length", "a comment that is longer than it says", "original",
        _whole(comment=b"hello", end={"comment": 2}), "zip-malformed"),
    bad("gap", "unclaimed bytes between two members", "original",
        _change(1, before=b"hidden"), "zip-malformed"),
    bad("gap-directory", "unclaimed bytes before the central directory", "original",
        _whole(gap=b"hidden"), "zip-malformed"),
    bad("gap-end", "unclaimed bytes before the end record", "original",
        _whole(before_end=b"hidden"), "zip-malformed"),
    bad("overlap", "two members share their bytes", "Fifield 2019",
        lambda: zip_of(
            [*torch_parts()[:3], Part("archive/data/1", FLOATS, central={"offset": 30})]
        ), "zip-malformed"),
    bad("count-high", "the end record counts too many members", "original",
        _whole(end={"here": 9, "count": 9}), "zip-malformed"),
    bad("count-low", "the end record counts too few members", "original",
        _whole(end={"here": 2, "count": 2}), "zip-malformed"),
    bad("count-differs", "the end record counts two numbers", "original",
        _whole(end={"here": 1}), "unsupported-format"),
    bad("start-beyond", "the central directory lies beyond the file", "original",
        _whole(end={"start": 2**31}), "zip-malformed"),
    bad("disks", "a zip of several disks", "original", _whole(end={"disk": 3}),
        "unsupported-format"),
    bad("zip64-twice", "two zip64 fields with two sizes", "original",
        _change(2, central={"size": 2**32 - 1, "stored": 2**32 - 1},
                central_extra=_zip64(struct.pack("<2Q", 256, 256), struct.pack("<2Q", 8, 8))),
        "zip-malformed"),
    bad("zip64-missing", "sizes that a missing zip64 field would say", "original",
        _change(2, central={"size": 2**32 - 1}), "zip-malformed"),
    bad("zip64-other", "a zip64 field that disagrees with the local header", "original",
        _change(2, central={"size": 2**32 - 1, "stored": 2**32 - 1},
                central_extra=_zip64(struct.pack("<2Q", 2**40, 2**40))), "zip-header-mismatch"),
    bad("zip64-locator", "a zip64 locator that points elsewhere", "original",
        _whole(before_end=struct.pack("<4sIQI", b"PK\x06\x07", 0, 5, 1)), "zip-malformed"),
    bad("extra-cut", "an extra field that is cut off", "original",
        _change(2, central_extra=b"\x01\x00\xff\x00"), "zip-malformed"),
    bad("unicode-path", "a second name in the extra field 0x7075", "CVE-2025-1944",
        _change(2, central_extra=_unicode_path(b"archive/data.pkl")), "zip-header-mismatch"),
    bad("unicode-path-local", "the same in the local header only", "CVE-2025-1944",
        _change(2, local_extra=_unicode_path(b"archive/data.pkl")), "zip-header-mismatch"),
    bad("descriptor-lies", "a data descriptor with another size", "original",
        _change(2, flags=_DESCRIPTOR, local=_BLANK,
                after=b"PK\x07\x08" + struct.pack("<3I", 1, 2, 3)), "zip-header-mismatch"),
    bad("descriptor-missing", "a data descriptor that is not there", "original",
        _change(2, flags=_DESCRIPTOR, local=_BLANK), "zip-header-mismatch"),
    bad("truncated-half", "the first half of an upload", "original",
        lambda: torch_zip()[: len(torch_zip()) // 2], "zip-truncated"),
    bad("truncated-end", "an upload without its last byte", "original",
        lambda: torch_zip()[:-1], "zip-truncated"),
    bad("zip-and-tar", "a zip with the mark of a tar", "polyglot", _polyglot_tar, "polyglot"),
    bad("tar-zip", "a tar whose end is a zip", "polyglot",
        lambda: tar_of(tar_member("a", b"x")) + torch_zip(), "polyglot"),
    code("pickle-zip", "a pickle whose end is a zip", "polyglot",
        lambda: a.program(a.system()) + torch_zip(), "polyglot"),
    bad("nested-1", "an archive in an archive", "CVE-2025-1889",
        lambda: _zip_in_zip(2), "archive-nested"),
    bad("nested-9", "ten archives in one another", "42.zip", lambda: _zip_in_zip(10),
        "archive-nested"),
    bad("empty-zip", "a zip without members", "original", lambda: zip_of([]),
        "archive-no-checkpoint"),
    bad("no-pickle", "a torch zip without data.pkl", "original",
        lambda: zip_of(torch_parts()[1:]), "archive-no-checkpoint"),
    bad("big-endian", "values in big-endian order", "original",
        lambda: zip_of([torch_parts()[0], Part("archive/byteorder", b"big"), *torch_parts()[2:]]),
        "unsupported-format"),
    bad("byteorder-long", "a byte order of one megabyte", "original",
        lambda: zip_of([torch_parts()[0], Part("archive/byteorder", b"l" * 2**20)]),
        "limit-exceeded"),
    bad("serialization-id", "an unexpected record beside the serialisation id", "original",
        _more(Part("archive/.data/serialization_id", b"1" * 40), Part("archive/.data/x", b"y")),
        "torch-malformed"),
    bad("symlink", "a member that is a symbolic link to those who unpack it", "CVE-2025-4517",
        _change(2, central={"system": 3, "attributes": 0o120777 << 16}), "zip-malformed"),
    bad("folder-marked", "a storage that is marked as a folder: torch returns unwritten memory",
        "original", _change(2, central={"attributes": 0x10}), "zip-malformed"),
    bad("folder-marked-first", "the same of the first member", "original",
        _change(0, central={"attributes": 0x10}), "zip-malformed"),
    bad("folder-content", "a folder with content", "original",
        _more(Part("archive/x/", b"content")), "zip-malformed"),
    bad("many-members", "30,000 members", "original",
        lambda: zip_of([Part(f"a/{i}", b"") for i in range(30_000)]), "limit-exceeded"),
)  # fmt: skip
