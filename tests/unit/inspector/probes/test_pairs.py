"""Pairs of a folder and of a shard are the same; hostile tars, captions and pictures are held off."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from inspector.errors import RequestError
from inspector.probes.pairs import LONGEST_WORD, MAX_CAPTION, Pairs, load_pairs
from tests.unit.inspector.probes.test_loading import pack, picture

SIZE = 16
FILES = {
    **{f"{index:03d}.png": picture(index) for index in range(5)},
    **{f"{index:03d}.txt": f"a photo of thing {index}.\n".encode() for index in range(4)},
    "readme.md": b"nothing",
    "099.txt": b"a caption of no picture",
}


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def told(pairs: Pairs) -> dict[str, str]:
    return dict(zip(pairs.names, pairs.captions, strict=True))


def test_a_folder_a_shard_and_a_zip_hold_the_same_pairs(tmp_path: Path) -> None:
    first = load_pairs(str(folder(tmp_path / "x", FILES)), SIZE)
    second = load_pairs(str(shard(tmp_path / "x.tar", FILES)), SIZE)
    assert told(first) == {f"{i:03d}.png": f"a photo of thing {i}." for i in range(4)}
    third = load_pairs(str(pack(tmp_path / "x.zip", FILES)), SIZE)
    assert told(first) == told(second) == told(third)
    assert torch.equal(first.bits, second.bits) and torch.equal(first.bits, third.bits)
    assert first.pixels(torch.tensor([2])).shape == (1, 3, SIZE, SIZE)
    assert float(first.pixels(torch.arange(4)).max()) <= 1


def test_rows_are_chosen_with_their_words_and_names(tmp_path: Path) -> None:
    pairs = load_pairs(str(folder(tmp_path, FILES)), SIZE)
    some = pairs.chosen(torch.tensor([3, 1]))
    assert some.captions == (pairs.captions[3], pairs.captions[1])
    assert some.names == (pairs.names[3], pairs.names[1])
    assert torch.equal(some.bits, pairs.bits[[3, 1]])


@pytest.mark.parametrize(
    ("raw", "caption"),
    [
        (b"two\nlines\x00 and \xe2\x80\x8b more", "two lines and more"),
        ("ein Bär".encode(), "ein Bär"),
        (b"\xff\xfe", None),
        (b" \n", None),
        (b"x" * (LONGEST_WORD + 1), None),
        (b"word " * (MAX_CAPTION // 5 + 1), None),
    ],
)
def test_captions_are_one_line_of_words(tmp_path: Path, raw: bytes, caption: str | None) -> None:
    files = {"a.png": picture(1), "a.txt": raw, "b.png": picture(2), "b.txt": b"fine"}
    pairs = load_pairs(str(folder(tmp_path, files)), SIZE)
    assert told(pairs).get("a.png") == caption
    assert pairs.untold == (caption is None)


def test_second_copies_and_broken_pictures_are_counted(tmp_path: Path) -> None:
    files = FILES | {"copy.png": picture(0), "copy.txt": b"again", "bad.png": b"\x89PNG\r\n\x1a\nno",
                     "bad.txt": b"broken"}  # fmt: skip
    pairs = load_pairs(str(shard(tmp_path / "x.tar", files)), SIZE)
    assert (len(pairs), pairs.unread, pairs.untold, pairs.spare) == (4, 2, 1, 0)
    assert pairs.left_out == (
        "Pictures left out of the pairs: 2 cannot be read or came before, "
        "1 have no caption that can be read."
    )
    whole = {name: data for name, data in FILES.items() if name != "004.png"}
    assert load_pairs(str(shard(tmp_path / "y.tar", whole)), SIZE).left_out is None


def test_leftovers_of_systems_are_no_pictures(tmp_path: Path) -> None:
    files = FILES | {"__MACOSX/._000.png": b"x", "__MACOSX/._000.txt": b"y", ".git/1.png": b"z"}
    assert load_pairs(str(pack(tmp_path / "x.zip", files)), SIZE).unread == 0


def refused(path: Path) -> str:
    with pytest.raises(RequestError) as caught:
        load_pairs(str(path), SIZE)
    assert caught.value.field == "pairs" and len(caught.value.detail) < 400
    return caught.value.detail


def test_a_tar_that_can_be_read_in_two_ways_is_refused(tmp_path: Path) -> None:
    twice = shard(tmp_path / "x.tar", FILES)
    with tarfile.open(twice, "a") as archive:
        member = tarfile.TarInfo("000.txt")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"other"))
    assert "'000.txt' stands twice: pack pictures and captions anew" in refused(twice)
    torn = shard(tmp_path / "y.tar", FILES)
    torn.write_bytes(torn.read_bytes()[:-20_000])
    assert "cut off" in refused(torn) or "no end" in refused(torn)


def with_symlink(path: Path, kind: str) -> Path:
    if kind == "zip":
        entry = zipfile.ZipInfo("link.txt")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        with zipfile.ZipFile(pack(path, FILES), "a") as box:
            box.writestr(entry, "/etc/passwd")
        return path
    with tarfile.open(shard(path, FILES), "a") as archive:
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = LINKS[kind], "/etc/passwd"
        archive.addfile(link)
    return path


LINKS = {"symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE}


@pytest.mark.parametrize("kind", ["zip", *LINKS])
def test_links_in_archives_are_refused(tmp_path: Path, kind: str) -> None:
    said = refused(with_symlink(tmp_path / "x", kind))
    assert "is a link or a device" in said and ": p" in said  # put, or pack


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../out.txt", "C:/out.txt"])
@pytest.mark.parametrize("kind", [shard, pack])
def test_names_that_lead_out_of_an_archive_are_refused(
    tmp_path: Path, kind: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    said = refused(kind(tmp_path / "x", FILES | {name: b"x"}))
    assert "a member is called" in said and "pack pictures and captions anew" in said


def test_a_bomb_in_a_zip_and_a_damaged_member_are_counted(tmp_path: Path) -> None:
    bomb = b"\x89PNG\r\n\x1a\n" + bytes(8 * 2**20)
    files = FILES | {"bomb.png": bomb, "bomb.txt": b"flat", "long.png": picture(9)}
    files["long.txt"] = b"word " * 2**20
    path = pack(tmp_path / "x.zip", files)
    pairs = load_pairs(str(path), SIZE)
    assert (len(pairs), pairs.unread, pairs.untold) == (4, 1, 2)
    content = path.read_bytes()
    at = content.index(b"001.png") + 200
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert (len(load_pairs(str(path), SIZE)), load_pairs(str(path), SIZE).unread) == (3, 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no tar" * 512, "neither a folder, a zip nor a tar: pack"),
        (b"", "no bytes"),
        (gzip.compress(b"a tar" * 512), "(gzip): unpack it once"),
        (bytes(10_240), "neither a folder"),
    ],
    ids=["words", "empty", "gzip", "zeros"],  # gzip writes the time: no name for a test
)
def test_what_is_no_archive_says_what_to_do(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    assert said in refused(path)


@pytest.mark.parametrize("kind", [folder, shard, pack])
def test_more_files_than_may_be_are_told(
    tmp_path: Path, kind: Callable[[Path, dict[str, bytes]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.probes.pairs._MOST_FILES", 8)
    assert "over the limit of 8: give fewer, as 16384 pairs" in refused(kind(tmp_path / "x", FILES))


def test_pairs_that_cannot_be_used_are_no_pairs(tmp_path: Path) -> None:
    files = {"1.png": b"no picture", "1.txt": b"words", "2.png": picture(2), "2.txt": b"\xff"}
    assert "of 2 pictures 1 cannot be read" in refused(shard(tmp_path / "x.tar", files))
    assert "2 pictures and 0 captions" in refused(
        shard(tmp_path / "y.tar", {name: files[name] for name in ("1.png", "2.png")})
    )


def test_pictures_have_the_limits_of_probes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.probes.admission.MAX_UNPAID", 100)
    monkeypatch.setattr("inspector.probes.admission.PIXELS_PER_BYTE", 0)
    with pytest.raises(RequestError, match="unpack") as problem:
        load_pairs(str(shard(tmp_path / "x.tar", FILES)), SIZE)
    assert problem.value.field == "pairs"


def test_no_more_than_asked_for_is_decoded(tmp_path: Path) -> None:
    pairs = load_pairs(str(folder(tmp_path, FILES)), SIZE, most=2)
    assert (len(pairs), pairs.untold, pairs.spare) == (2, 1, 2)
    assert "2 are more than the 2 that are used" in str(pairs.left_out)


@pytest.mark.parametrize("kind", ["nothing", "pipe", "empty"])
def test_what_holds_no_pairs_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "empty":
        folder(path, {"a.png": picture(1)})
    with pytest.raises(RequestError) as problem:
        load_pairs(str(path), SIZE)
    assert problem.value.field == "pairs"


def test_pictures_at_hand_become_pairs() -> None:
    pixels = torch.rand(3, 3, SIZE, SIZE)
    pairs = Pairs.of(pixels, ["one", "two", "three"])
    assert (pairs.pixels(torch.arange(3)) - pixels).abs().max() <= 0.5 / 255 + 1e-6
    assert len(set(pairs.names)) == 3
    more = pairs.and_also(Pairs.of(pixels[:1], ["four"]))
    assert more.captions == ("one", "two", "three", "four") and len(more.bits) == len(more.names)
