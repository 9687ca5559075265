"""Archives and folders: names that leave them, links, devices, sizes that lie, bombs."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

from tests.hostile import assemble as a
from tests.hostile.boxes import Part, pax, tar_header, tar_member, tar_of, torch_zip, zip_of
from tests.hostile.entry import Entry, bad

_MODEL = "run/prompt_learner/model.pth.tar-50"
_BAD = "archive-malformed"
_Made = Callable[[], bytes]


def _tar(*members: bytes, end: bytes = bytes(1024)) -> _Made:
    return lambda: tar_of(*members, tar_member(_MODEL, torch_zip()), end=end)


def _link(name: str, kind: bytes, target: str = "/etc/passwd") -> bytes:
    return tar_header(name.encode(), 0, kind, link=target.encode())


def _only(member: bytes) -> _Made:
    return lambda: tar_of(member)


def _named(name: str | bytes) -> _Made:
    return _tar(tar_member(name, b"x"))


def _gz(content: _Made, after: bytes = b"") -> _Made:
    return lambda: gzip.compress(content()) + after


def _pax_bomb() -> bytes:
    return tar_member("PaxHeaders/x", b"1" * 300_000 + b" " * 300_000, b"x")


def _negative_size() -> bytes:
    return tar_header(b"a", 0, raw_size=b"\xff" * 12) + bytes(512)


_TARS: tuple[tuple[str, str, str, _Made, tuple[str, ...]], ...] = (
    *(
        (f"name-{label}", what, "CVE-2007-4559", _named(name), (_BAD,))
        for label, what, name in (
            ("up", "a member above its folder", "../evil"),
            ("up-deep", "a member above its folder, from inside", "run/../../evil"),
            ("absolute", "an absolute path", "/etc/cron.d/evil"),
            ("backslash", "a backslash", "run\\..\\evil"),
            ("drive", "a drive letter", "C:/evil"),
            ("control", "a control character", "run/\x1b[2Jx"),
            ("device", "the name of a Windows device", "run/nul"),
            ("bytes", "a name that is not UTF-8", b"run/\xff\xfe"),
            ("rtl", "a right-to-left override", "run/\u202egpj.exe"),
        )
    ),
    ("duplicate", "two members of one name", "original",
     _tar(tar_member(_MODEL, torch_zip(a.coop(a.system())))), (_BAD,)),
    ("duplicate-dot", "two members of one name, one with a leading dot", "original",
     _tar(tar_member(f"./{_MODEL}", b"x")), (_BAD,)),
    ("duplicate-case", "two members that differ by case", "original",
     _tar(tar_member(_MODEL.upper(), b"x")), (_BAD,)),
    ("symlink", "the checkpoint is a symbolic link", "CVE-2025-4517", _only(_link(_MODEL, b"2")),
     ("archive-no-checkpoint",)),
    ("hardlink", "the checkpoint is a hard link", "CVE-2025-4138", _only(_link(_MODEL, b"1")),
     ("archive-no-checkpoint",)),
    *(
        (f"device-{label}", f"the checkpoint is a {what}", "original", _only(_link(_MODEL, kind)),
         ("archive-no-checkpoint",))
        for label, what, kind in (
            ("character", "character device", b"3"), ("block", "block device", b"4"),
            ("fifo", "FIFO", b"6"),
        )
    ),
    ("link-content", "a symbolic link with content", "original",
     _tar(tar_member("run/x", b"content", b"2")), (_BAD,)),
    ("sparse-gnu", "a sparse member as GNU wrote it", "PyPI",
     _tar(tar_member("run/x", b"content", b"S")), (_BAD,)),
    ("sparse-pax", "a sparse member in an extended header", "PyPI",
     _tar(pax(("GNU.sparse.realsize", "99999999999")), tar_member("run/x", b"x")), (_BAD,)),
    ("pax-size", "an extended header with another size", "parser differential",
     _tar(pax(("size", "4096")), tar_member("run/x", b"x")), (_BAD,)),
    ("pax-size-global", "a global header with a size for all", "parser differential",
     _tar(pax(("size", "0"), kind=b"g"), tar_member("run/x", b"x")), (_BAD,)),
    ("pax-path-global", "a global header with a name for all", "parser differential",
     _tar(pax(("path", "run/y"), kind=b"g"), tar_member("run/x", b"x")), (_BAD,)),
    ("pax-path-up", "an extended header whose name leaves the folder", "CVE-2007-4559",
     _tar(pax(("path", "../../evil")), tar_member("run/x", b"x")), (_BAD,)),
    ("pax-two-names", "two extended headers for one member", "parser differential",
     _tar(pax(("path", "run/a")), pax(("path", "run/b")), tar_member("run/x", b"x")), (_BAD,)),
    ("pax-bomb", "an extended header of 600 KB for a slow expression", "CVE-2024-6232",
     _tar(_pax_bomb(), tar_member("run/x", b"x")), ("limit-exceeded",)),
    ("pax-garbage", "an extended header that is none", "original",
     _tar(tar_member("x", b"garbage\n", b"x"), tar_member("run/x", b"x")), (_BAD,)),
    ("pax-last", "an extended header that describes nothing", "original",
     lambda: tar_of(tar_member(_MODEL, torch_zip()), pax(("path", "run/a"))), (_BAD,)),
    ("gnu-long-up", "a GNU long name that leaves the folder", "CVE-2007-4559",
     _tar(tar_member("././@LongLink", b"../" * 50 + b"evil\0", b"L"), tar_member("run/x", b"x")),
     (_BAD,)),
    ("gnu-long-bomb", "a GNU long name of a megabyte", "original",
     _tar(tar_member("././@LongLink", b"x" * 2**20, b"L"), tar_member("run/x", b"x")),
     ("limit-exceeded",)),
    ("size-negative", "a negative size, followed in a circle by some readers", "CVE-2025-8194",
     _only(_negative_size()), (_BAD,)),
    ("size-huge", "a size of eight exabytes", "original",
     _only(tar_header(b"a", 0, raw_size=b"\x80" + b"\x7f" * 11)), (_BAD,)),
    ("size-letters", "a size that is no number", "original",
     _only(tar_header(b"a", 0, raw_size=b"0000000zzzz\0")), (_BAD,)),
    ("checksum", "a wrong checksum", "original",
     _only(tar_header(_MODEL.encode(), 0, checksum=b"0000000\0")), (_BAD,)),
    ("type-unknown", "a member of an unknown type", "original",
     _tar(tar_member("run/x", b"x", b"Z")), (_BAD,)),
    ("volume", "a continued volume", "original", _tar(tar_member("run/x", b"x", b"M")), (_BAD,)),
    ("no-end", "no end mark", "original", _tar(end=b""), (_BAD,)),
    ("tail", "bytes behind the end mark", "polyglot", _tar(end=bytes(1024) + b"x" * 512), (_BAD,)),
    ("cut", "the end of a tar is missing", "original", lambda: _tar()()[:1000], (_BAD,)),
    ("nested", "a tar in a tar", "CVE-2025-1889",
     lambda: tar_of(tar_member(_MODEL, _tar()())), ("archive-nested",)),
    ("gz-in-tar", "a gzip in a tar", "CVE-2025-1889",
     lambda: tar_of(tar_member(_MODEL, gzip.compress(b"x"))), ("archive-nested",)),
    ("many", "25,000 members", "original",
     lambda: tar_of(*(tar_member(f"run/{i}", b"") for i in range(25_000))), ("limit-exceeded",)),
    ("two-models", "two checkpoints in two folders", "original",
     _tar(tar_member("other/model.pth.tar-50", b"x")), ("archive-ambiguous",)),
    ("trigger-only", "a checkpoint in the trigger folder only", "original",
     lambda: tar_of(tar_member("run/trigger/model.pth.tar-50", torch_zip())),
     ("archive-no-checkpoint",)),
    ("macosx-only", "nothing but what macOS adds", "original",
     lambda: tar_of(tar_member("__MACOSX/run/._model.pth.tar-50", torch_zip())),
     ("archive-no-checkpoint",)),
)  # fmt: skip

_GZIPS: tuple[tuple[str, str, str, _Made, tuple[str, ...]], ...] = (
    ("bomb", "ten megabytes of zeros", "42.zip", lambda: gzip.compress(bytes(10_000_000)),
     ("limit-exceeded",)),
    ("bomb-nested", "a gigabyte of zeros, compressed twice", "42.zip", lambda: _gigabyte(),
     ("archive-nested",)),
    ("cut", "a gzip without its end", "original", lambda: _gz(_tar())()[:-5], (_BAD,)),
    ("two", "two gzip members: some readers see one, some both", "original",
     _gz(_tar(), gzip.compress(b"more")), (_BAD,)),
    ("tail", "bytes behind the gzip", "original", _gz(_tar(), b"hidden"), (_BAD,)),
    ("crc", "a wrong checksum", "CVE-2025-10156",
     lambda: _gz(_tar())()[:-8] + b"\0\0\0\0" + _gz(_tar())()[-4:], (_BAD,)),
    ("pickle", "a compressed pickle, as joblib writes it", "arXiv-2508.19774",
     lambda: gzip.compress(a.program(a.system())), ("pickle-code-execution", "unsupported-format")),
    ("tar-header", "a gzip whose extra field makes it a tar", "original", lambda: _gz_and_tar(),
     ("polyglot",)),
    ("gzip", "a gzip in a gzip", "CVE-2025-1889",
     lambda: gzip.compress(gzip.compress(_tar()())), ("archive-nested",)),
)  # fmt: skip


def _gz_and_tar() -> bytes:
    plain = gzip.compress(tar_of(tar_member(_MODEL, torch_zip())), mtime=0)
    block = bytearray(plain[:3] + b"\x04" + plain[4:10] + b"\x58\x02" + bytes(500))
    block[124:136], block[148:156] = b"00000000000\0", b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(600 - 500) + plain[10:]


def _gigabyte() -> bytes:
    unit = gzip.compress(bytes(64 * 2**20))
    return gzip.compress(unit * 16)


def _outer_bomb() -> bytes:
    return zip_of([Part("run/model.pth.tar-50", bytes(100_000_000), deflate=True)])


def _folder(make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def build(place: Path) -> Path:
        root = place / "run"
        root.mkdir()
        make(root)
        return root

    return build


def _link_to(root: Path) -> None:
    (root / "model.pth.tar-50").symlink_to("/etc/passwd")


def _circle(root: Path) -> None:
    (root / "again").symlink_to(root)


def _deep(root: Path) -> None:
    """Folders whose whole path is longer than the system's limit."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def _escapes(root: Path) -> None:
    for name in (b"\x1b[2Ja.pt", b"\xff\nb.pt"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).touch()


def _crowd(root: Path) -> None:
    for index in range(20_050):
        (root / str(index)).touch()


_FOLDERS: tuple[tuple[str, str, Callable[[Path], object], tuple[str, ...]], ...] = (
    ("link", "a folder whose checkpoint is a link to another file", _link_to,
     ("archive-no-checkpoint",)),
    ("circle", "a folder that links to itself", _circle, ("archive-no-checkpoint",)),
    ("fifo", "a folder whose checkpoint is a FIFO", lambda r: os.mkfifo(r / "model.pth.tar-1"),
     ("archive-no-checkpoint",)),
    ("deep", "folders deeper than a path may be long", _deep, (_BAD,)),
    ("crowd", "a folder of 20,050 files", _crowd, ("limit-exceeded",)),
    ("zip-inside", "a folder with an archive", lambda r: (r / "model.pth.tar-1").write_bytes(
        zip_of([Part("model.pth.tar-1", torch_zip())])), ("archive-nested",)),
    ("bytes-name", "a file whose name is not UTF-8",
     lambda r: open(os.fsencode(r) + b"/\xff\xfe.pt", "wb").close(), ("empty-file",)),
    ("escape-names", "two checkpoints whose names clear the screen", _escapes,
     ("archive-ambiguous",)),
    ("empty", "an empty folder", lambda r: None, ("archive-no-checkpoint",)),
)  # fmt: skip


def _parts(root: Path) -> None:
    """Tip-Adapter's three files, one of which calls."""
    bare = a.program(a.CTX)
    (root / "best_F_16shots.pt").write_bytes(torch_zip(bare))
    (root / "keys_16shots.pt").write_bytes(torch_zip(bare))
    (root / "values_16shots.pt").write_bytes(torch_zip(a.program(a.system() + b"0" + a.CTX)))


ENTRIES: tuple[Entry, ...] = (
    Entry("folder-parts", "code", "a model in three files, the last of which calls", "original",
          _folder(_parts), ("pickle-code-execution", "shape-mismatch")),
    *(bad(f"tar-{n}", what, source, made, *found, name="run.tar")
      for n, what, source, made, found in _TARS),
    *(bad(f"gz-{n}", what, source, made, *found, name="run.tar.gz")
      for n, what, source, made, found in _GZIPS),
    bad("zip-bomb", "a zip whose checkpoint grows a thousandfold", "42.zip", _outer_bomb,
        "limit-exceeded", name="run.zip"),
    *(Entry(f"folder-{n}", "malformed", what, "original", _folder(make), found)
      for n, what, make, found in _FOLDERS),
)  # fmt: skip
