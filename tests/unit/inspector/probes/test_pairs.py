"""Pairs of a folder and of a shard are the same; hostile tars, captions and pictures are held off."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
import torch

from inspector.errors import RequestError
from inspector.probes.pairs import LONGEST_WORD, MAX_CAPTION, Pairs, load_pairs
from tests.unit.inspector.probes.test_loading import picture

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


def test_a_folder_and_a_shard_hold_the_same_pairs(tmp_path: Path) -> None:
    first = load_pairs(str(folder(tmp_path / "x", FILES)), SIZE)
    second = load_pairs(str(shard(tmp_path / "x.tar", FILES)), SIZE)
    assert told(first) == {f"{i:03d}.png": f"a photo of thing {i}." for i in range(4)}
    assert told(first) == told(second)
    assert torch.equal(first.bits, second.bits)
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
    assert pairs.skipped == (caption is None)


def test_second_copies_and_broken_pictures_are_counted(tmp_path: Path) -> None:
    files = FILES | {"copy.png": picture(0), "copy.txt": b"again", "bad.png": b"\x89PNG\r\n\x1a\nno",
                     "bad.txt": b"broken"}  # fmt: skip
    pairs = load_pairs(str(shard(tmp_path / "x.tar", files)), SIZE)
    assert (len(pairs), pairs.skipped) == (4, 2)


def test_a_tar_that_can_be_read_in_two_ways_is_refused(tmp_path: Path) -> None:
    twice = shard(tmp_path / "x.tar", FILES)
    with tarfile.open(twice, "a") as archive:
        member = tarfile.TarInfo("000.txt")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"other"))
    with pytest.raises(RequestError, match="twice"):
        load_pairs(str(twice), SIZE)
    with pytest.raises(RequestError, match="checksum"):
        load_pairs(str(folder(tmp_path, {"y.tar": b"no tar" * 512}) / "y.tar"), SIZE)


def test_links_and_paths_out_of_a_tar_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert "link.png" not in told(load_pairs(str(path), SIZE))
    escaping = shard(tmp_path / "y.tar", {"../out.png": picture(1), "../out.txt": b"x"})
    with pytest.raises(RequestError):
        load_pairs(str(escaping), SIZE)


def test_pictures_have_the_limits_of_probes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.probes.admission.MAX_UNPAID", 100)
    monkeypatch.setattr("inspector.probes.admission.PIXELS_PER_BYTE", 0)
    with pytest.raises(RequestError, match="unpack") as problem:
        load_pairs(str(shard(tmp_path / "x.tar", FILES)), SIZE)
    assert problem.value.field == "pairs"


def test_no_more_than_asked_for_is_decoded(tmp_path: Path) -> None:
    assert len(load_pairs(str(folder(tmp_path, FILES)), SIZE, most=2)) == 2


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
