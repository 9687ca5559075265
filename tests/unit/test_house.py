"""Rooms, floors and arrows are counted right, and inspector's house has no stairs that lead back up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.house import House, house

CEILING = {"rooms": 23, "floors": 11, "arrows": 79}
"""Of inspector; lowered whenever the house becomes simpler, never raised without a reason told here.

The page is a room of its own since the service and the command line draw the same one. Twins have one, as
detection holds a model against them and repair delivers one. A strategy of repair may lack what it needs or come
to nothing without ending the inspection, so repair knows errors, and it tunes twins. Encoders are cleaned on
pairs, in trainings that tell their progress and end with the budget, so repair knows probes and progress; a shard of
pairs is a tar, which the reader's own code reads, so probes know checkpoint. A bank is of a profile's statistic, so
calibration knows profiles."""


def build(folder: Path, name: str, **modules: str) -> House:
    package = folder / name
    for path, text in ({"__init__": ""} | modules).items():
        file = package / f"{path.replace('__in__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return house(name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def test_rooms_floors_and_arrows(folder: Path) -> None:
    found = build(
        folder,
        "plain_house",
        __main__="from plain_house import hall",
        hall="from plain_house.wing import one, two\nfrom plain_house import cellar",
        wing__in____init__="",
        wing__in__one="import plain_house.cellar",
        wing__in__two="from plain_house.wing import one",
        cellar="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import plain_house.hall",
    )
    assert found.floors == {"cellar": 1, "wing": 2, "hall": 3}
    assert found.arrows == [("hall", "cellar"), ("hall", "wing"), ("wing", "cellar")]
    assert found.cycle == []


def test_a_ring_of_rooms_is_told(folder: Path) -> None:
    found = build(
        folder,
        "ring_house",
        one="import ring_house.two",
        two="import ring_house.three",
        three="import ring_house.one",
    )
    assert set(found.cycle) == {"one", "two", "three"}


def test_an_arrow_against_the_ladder_leads_back_up() -> None:
    below = {"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset[str]()}
    assert House(below, {"a": 0, "b": 1, "c": 2}).back_up == []
    assert House(below, {"a": 1, "b": 0, "c": 0}).back_up == [("a", "b"), ("b", "c")]


def test_inspector_has_no_ring_no_way_back_up_and_stays_as_small() -> None:
    found = house("inspector")
    assert (found.cycle, found.back_up) == ([], [])
    assert found.ladder.keys() >= found.below.keys()
    size = {
        "rooms": len(found.below),
        "floors": max(found.floors.values()),
        "arrows": len(found.arrows),
    }
    assert {name: value for name, value in size.items() if value > CEILING[name]} == {}
