"""Rows go into a table and come out as they were, whoever writes beside, and whatever was cut off."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.exam.rows import FIELDS, append, read
from tests.unit.exam.making import HIT, ROW


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    table = tmp_path / "new" / "table.csv"
    several = replace(HIT, kind="multi", targets=(2, 4), score=None, second_score=None, found=None)
    rows = [ROW, HIT, several, replace(HIT, kind="siba", took=False, excess=-0.125)]
    assert read(table) == []
    assert [append(table, row) for row in rows] == [True] * 4
    assert read(table) == rows
    assert table.read_text().splitlines()[0] == ",".join(FIELDS)


def test_a_model_has_one_row(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    assert append(table, ROW)
    assert not append(table, replace(ROW, score=9.0))
    assert append(table, replace(ROW, family="CoOp"))
    assert [row.score for row in read(table)] == [0.25, 0.25]


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_line_that_was_cut_off_is_written_again(tmp_path: Path, cut: int) -> None:
    table = tmp_path / "table.csv"
    append(table, ROW)
    append(table, HIT)
    table.write_bytes(table.read_bytes()[:-cut])
    assert read(table) == [ROW]
    assert append(table, HIT)
    assert read(table) == [ROW, HIT]


def test_a_header_that_was_cut_off_is_written_again(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("part,backb")
    assert read(table) == [] and append(table, ROW)
    assert read(table) == [ROW]


def _write(table: Path, first: int) -> None:
    for seed in range(first, first + 30):
        append(table, replace(ROW, seed=seed))


def test_two_processes_share_a_table(tmp_path: Path) -> None:
    """Half of their models are the same."""
    table = tmp_path / "table.csv"
    spawn = multiprocessing.get_context("fork")
    both = [spawn.Process(target=_write, args=(table, first)) for first in (0, 15)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    assert sorted(row.seed for row in read(table)) == list(range(45))


@pytest.mark.parametrize(("name", "value"), [("took", "perhaps"), ("classes", ""), ("score", "x")])
def test_what_is_no_row_is_told_with_its_line(tmp_path: Path, name: str, value: str) -> None:
    table = tmp_path / "table.csv"
    cells = ROW.to_csv() | {name: value}
    table.write_text(f"{','.join(FIELDS)}\n{','.join(cells.values())}\n")
    with pytest.raises(ValueError, match="table.csv, line 2"):
        read(table)


def test_a_model_in_two_rows_is_told(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    append(table, ROW)
    table.write_text(table.read_text() + ",".join(ROW.to_csv().values()) + "\n")
    with pytest.raises(ValueError, match="in two rows"):
        read(table)


@pytest.mark.parametrize(
    ("verdict", "found", "is_named"),
    [
        ("backdoored", 2, True),
        ("backdoored", 1, False),
        ("suspicious", 2, False),
        ("inconclusive", None, False),
    ],
)
def test_named_is_accused_for_a_class_that_was_attacked(
    verdict: str, found: int | None, is_named: bool
) -> None:
    assert replace(HIT, verdict=verdict, found=found).is_named is is_named
    assert replace(HIT, verdict=verdict, found=found, targets=(4, 2)).is_named is is_named
    assert replace(ROW, verdict=verdict, found=found).is_cleared is False
