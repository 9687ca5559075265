"""Target ``zip``: the members of a zip, their contents, and torch's records among them.

Promise: any bytes end in members or an ``ArtifactError``; a zip that is accepted with all of its
contents, the standard library's :mod:`zipfile` reads with the same names and contents.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

from inspector.checkpoint.formats import zipfiles
from inspector.checkpoint.formats.torchzip import looks_like_torch, open_torch_zip
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.source import Source
from inspector.errors import ArtifactError
from tests.fuzz.target import Disagreement, Scratch, Target, check_refusal
from tests.fuzz.ziplayout import Layout, build, mutate, plain

LIMITS = Limits(archive_members=12, pickle_bytes=1000)
_MEMBER_BYTES = 1 << 20
_scratch = Scratch()


def check(data: bytes) -> bool:
    """Read ``data`` as a zip and compare with :mod:`zipfile`; True when all of it is accepted."""
    source = _scratch.source(data)
    try:
        members = zipfiles.read_members(source, LIMITS)
        if looks_like_torch(members):
            _check_torch(source, members)
        contents = {
            member.name: b"".join(zipfiles.content(source, member, _MEMBER_BYTES))
            for member in members
        }
    except ArtifactError as error:
        check_refusal(error)
        return False
    _compare(data, contents)
    return True


def _check_torch(source: Source, members: tuple[zipfiles.Member, ...]) -> None:
    try:
        archive = open_torch_zip(source, members, LIMITS)
    except ArtifactError as error:
        check_refusal(error)
        return
    by_place = {member.data_offset: member for member in members if member.size}
    for key, storage in archive.storages.items():
        member = by_place[storage.offset] if storage.size else None
        if member and (member.size != storage.size or not member.name.endswith(f"/data/{key}")):
            raise Disagreement(f"storage {key} is not its member")


def _compare(data: bytes, contents: dict[str, bytes]) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            theirs = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception as error:
        raise Disagreement(f"zipfile refuses: {type(error).__name__}: {error}") from error
    if len(theirs) != len(contents) or dict(theirs) != contents:
        raise Disagreement(f"{contents!a} or {theirs!a}"[:600])


def seeds() -> list[bytes]:
    """Zips of every layout that an honest program writes."""
    pickle = plain(b"archive/data.pkl", b"\x80\x02}.")
    storage = plain(b"archive/data/0", bytes(range(16)))
    order, version = plain(b"archive/byteorder", b"little"), plain(b"archive/version", b"3\n")
    padded = replace(storage, local_extra=b"FB\x06\x00ZZZZZZ")
    streamed = replace(storage, descriptor="s3I")
    names = replace(plain("é/ü".encode(), b"x"), flags=0x800)
    folder = plain(b"run/", b""), plain(b"run/model.pth.tar-2", b"y" * 50, deflate=True)
    layouts = [
        Layout(),
        Layout((pickle, order, storage, version)),
        Layout((pickle, padded, plain(b"archive/data/1", b"")), is_wide=True),
        Layout(tuple(replace(part, is_wide=True) for part in (pickle, storage)), is_wide=True),
        Layout((pickle, streamed, replace(order, descriptor="sIQQ"))),
        Layout((*folder, names), comment=b"a comment"),
        Layout((replace(folder[1], descriptor="3I"), plain(b"trigger/x.pt", b""))),
    ]
    found = [build(layout)[0] for layout in layouts]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("a/b.txt", b"hello " * 9)
            with archive.open("wide", "w", force_zip64=True) as member:
                member.write(b"content")
        found.append(file.getvalue())
    return found


TARGET = Target("zip", seeds, check, mutate, longest=2048)
