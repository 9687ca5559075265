"""Labelled pictures: whose folder is whose, what is refused, and that no half has the other's pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

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
