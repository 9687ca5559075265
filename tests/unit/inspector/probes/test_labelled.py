"""Labelled pictures: whose folder is whose, what is refused, and that no half has the other's pictures."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image

from inspector.errors import RequestError
from inspector.manifest import spoken
from inspector.probes.labelled import load_labelled
from tests.zoo.pictures import write

NAMES = ("cat", "stop_sign", "red car")
SIZE = 16


def key(name: str) -> str:
    return spoken(name).lower()


def pictures(folder: Path, number: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    write(torch.rand(number, 3, SIZE, SIZE, generator=generator), folder)


@pytest.mark.parametrize("folders", [("cat", "Stop sign", "red_car"), ("0", "1", "2")])
def test_folders_are_named_as_classes_are_or_by_their_indices(
    tmp_path: Path, folders: tuple[str, ...]
) -> None:
    for number, name in enumerate(folders):
        pictures(tmp_path / name, 3 + number, seed=number)
    given = load_labelled(str(tmp_path), NAMES, SIZE, key)
    assert given.labels.bincount().tolist() == [3, 4, 5]
    teaching, measuring = given.halves()
    assert teaching.labels.bincount().tolist() == [2, 2, 3]
    assert measuring.labels.bincount().tolist() == [1, 2, 2]
    assert len(measuring.without(teaching.pixels)) == len(measuring)
    assert len(measuring.without(given.pixels)) == 0


def test_names_that_are_numbers_are_names_first(tmp_path: Path) -> None:
    pictures(tmp_path / "1", 2)
    assert load_labelled(str(tmp_path), ("1", "0"), SIZE, key).labels.tolist() == [0, 0]


def test_a_picture_twice_is_one_picture(tmp_path: Path) -> None:
    pictures(tmp_path / "cat", 2)
    pictures(tmp_path / "cat" / "again", 2)
    pictures(tmp_path / "red car", 2, seed=1)
    assert load_labelled(str(tmp_path), NAMES, SIZE, key).labels.tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("dog",), "'dog' is none of the model's classes"),
        (("cat", "1"), "'1' is none"),
        (("0", "3"), "'0' is none"),
        (("red car", "red_car"), "are one class"),
        ((), "no usable picture"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(
    tmp_path: Path, folders: tuple[str, ...], said: str
) -> None:
    for number, name in enumerate(folders):
        pictures(tmp_path / name, 2, seed=number)
    with pytest.raises(RequestError) as caught:
        load_labelled(str(tmp_path), NAMES, SIZE, key)
    assert caught.value.field == "labelled" and said in caught.value.detail


def test_one_picture_under_two_labels_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "cat", 2)
    pictures(tmp_path / "red car", 2)
    with pytest.raises(RequestError, match="another label"):
        load_labelled(str(tmp_path), NAMES, SIZE, key)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="neither a folder nor a readable zip"):
        load_labelled(str(tmp_path / "nowhere"), NAMES, SIZE, key)


def as_zip(folder: Path, inside: str = "") -> Path:
    """A zip of the files below a folder, with `inside` before their names."""
    packed = folder.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as box:
        for path in folder.rglob("*.png"):
            box.write(path, inside + path.relative_to(folder).as_posix())
    return packed


@pytest.mark.parametrize("inside", ["", "pictures of mine/"])
def test_a_zip_is_read_as_its_folder_is(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / "given"
    for number, name in enumerate(NAMES):
        pictures(folder / name / "deeper", 3 + number, seed=number)
    from_folder = load_labelled(str(folder), NAMES, SIZE, key)
    from_zip = load_labelled(str(as_zip(folder, inside)), NAMES, SIZE, key)
    assert torch.equal(from_zip.pixels, from_folder.pixels)
    assert torch.equal(from_zip.labels, from_folder.labels)
    assert from_zip.labels.bincount().tolist() == [3, 4, 5]


def test_a_single_folder_that_is_a_class_is_one(tmp_path: Path) -> None:
    pictures(tmp_path / "given" / "cat" / "red car", 2)
    packed = as_zip(tmp_path / "given")
    assert load_labelled(str(packed), NAMES, SIZE, key).labels.tolist() == [0, 0]


def zip_of(folder: Path, members: Mapping[str, bytes]) -> str:
    with zipfile.ZipFile(folder / "given.zip", "w", zipfile.ZIP_DEFLATED) as box:
        for name, data in members.items():
            box.writestr(name, data)
    return str(folder / "given.zip")


def picture(colour: int, side: int = SIZE) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), (colour, 0, 0)).save(data, "png")
    return data.getvalue()


def test_leftovers_of_systems_are_no_classes(tmp_path: Path) -> None:
    members = {
        "mine/cat/1.png": picture(1), "mine/red car/1.png": picture(2),
        "__MACOSX/mine/cat/._1.png": b"no picture", ".git/1.png": picture(3),
        "mine/.thumbs/1.png": picture(4), "notes.txt": b"",
    }  # fmt: skip
    given = load_labelled(zip_of(tmp_path, members), NAMES, SIZE, key)
    assert (given.labels.tolist(), given.skipped) == ([0, 2], 0)


LONG = 60_000
"""Characters: a zip may name so much."""


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "no usable picture"),
        ({"1.png": picture(1)}, "no usable picture"),
        ({"cat/1.png": b"no picture"}, "no usable picture"),
        ({"cat/1.png": picture(1), "dog/1.png": picture(2)}, "'dog' is none of the model's"),
        ({"a/dog/1.png": picture(1), "a/cat/1.png": picture(2)}, "'dog' is none of the model's"),
        ({"dog/1.png": picture(1)}, "'dog' is none of the model's"),
        ({"0/1.png": picture(1), "00/1.png": picture(2)}, "are one class"),
        ({"9" * LONG + "/1.png": picture(1)}, "is none of the model's"),
        ({"c" * LONG + "/1.png": picture(1), "cat/1.png": picture(2)}, "is none of the model's"),
        ({f"{name}/1.png": picture(1) for name in ("cat", "Cat", "CAT", "cAT")}, "are one class"),
    ],
    ids=lambda given: None if isinstance(given, dict) else given,
)
def test_zips_that_cannot_be_used_say_why(
    tmp_path: Path, members: dict[str, bytes], said: str
) -> None:
    with pytest.raises(RequestError) as caught:
        load_labelled(zip_of(tmp_path, members), NAMES, SIZE, key)
    assert caught.value.field == "labelled" and said in caught.value.detail
    assert len(caught.value.detail) < 400


def test_a_torn_zip_is_refused_under_its_own_name(tmp_path: Path) -> None:
    path = Path(zip_of(tmp_path, {"cat/1.png": picture(1)}))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(RequestError, match="neither a folder nor a readable zip") as caught:
        load_labelled(str(path), NAMES, SIZE, key)
    assert caught.value.field == "labelled"


def test_pictures_of_all_classes_are_paid_for_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No one folder of flat pictures is beyond the limit, all are: a zip may have many folders."""
    monkeypatch.setattr("inspector.probes.admission.MAX_UNPAID", 2**20)
    members = {f"{name}/1.png": picture(n, 700) for n, name in enumerate(NAMES)}
    with pytest.raises(RequestError, match="unpack to") as caught:
        load_labelled(zip_of(tmp_path, members), NAMES, SIZE, key)
    assert caught.value.field == "labelled"
    members.popitem()
    assert len(load_labelled(zip_of(tmp_path, members), NAMES, SIZE, key)) == 2
