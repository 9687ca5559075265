"""RESULTS.md holds what its rows say, and the command that writes it can tell."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.bench import results
from tests.bench.detect import FIELDS
from tests.bench.results import BLOCK, BLOCKS, DOCUMENT, written

ROW = dict.fromkeys(FIELDS, "") | {"task": "a", "seed": "1", "classes": "3"}
HIT = ROW | {"kind": "siba", "target": "2", "found": "2", "took": "True", "verdict": "backdoored", "score": "3"}  # fmt: skip
ROWS = [
    HIT,
    HIT | {"kind": "wanet", "found": "1"},
    HIT | {"kind": "text", "found": "", "verdict": "suspicious", "score": "1.9", "excess": "0.7"},
    HIT | {"kind": "multi", "took": "False"},
    ROW | {"kind": "clean", "verdict": "clean", "score": "0.1"},
    ROW | {"kind": "noisy", "verdict": "inconclusive"},
]


@pytest.fixture
def exam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables of an exam of six models: one found, one accused for another class, one missed."""
    for name, rows in (("exam-units", ROWS[:3]), ("exam-units-further", ROWS[3:])):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(rows)
    monkeypatch.setattr(results, "TABLES", tmp_path)
    document = tmp_path / "RESULTS.md"
    document.write_text("before\n<!-- table controls -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(results, "DOCUMENT", document)
    return document


def test_the_document_is_up_to_date() -> None:
    """Else: python -m tests.bench.results --write"""
    text = DOCUMENT.read_text("utf-8")
    assert written(text) == text


def test_every_table_stands_in_the_document() -> None:
    assert {block[2] for block in BLOCK.finditer(DOCUMENT.read_text("utf-8"))} == set(BLOCKS)


def test_the_right_class_is_part_of_found(exam: Path) -> None:
    table = results.exam().splitlines()
    assert next(line for line in table if "| all |" in line).startswith("| all | 1 of 3 | 1 of 2 |")


def test_every_error_is_listed(exam: Path) -> None:
    lines = results.errors().splitlines()[2:]
    assert [line.split(" | ")[:3] for line in lines] == [
        ["| a-1-text", "missed", "suspicious"],
        ["| a-1-wanet", "missed", "backdoored"],
        ["| a-1-noisy", "false alarm", "inconclusive"],
    ]
    assert "0.70" in lines[0]


def test_writing_replaces_what_stands_between_the_markers(exam: Path) -> None:
    assert results.main([]) == 1
    assert "old" in exam.read_text()
    assert results.main(["--write"]) == 0
    text = exam.read_text()
    assert "old" not in text
    assert text.startswith("before\n<!-- table controls -->\n| clean models")
    assert text.endswith("\n<!-- end -->\nafter\n")
    assert results.main([]) == 0


def test_a_marker_of_no_table_is_an_error() -> None:
    with pytest.raises(KeyError):
        written("<!-- table nothing -->\n<!-- end -->")
