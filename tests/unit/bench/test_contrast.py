"""The table of a search by contrast: figures from rows, whatever order they stand in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench import contrast


def row(kind: str, took: str, targets: str, score: float, accused: int) -> list[Any]:
    known = dict.fromkeys(contrast.FIELDS, "") | {
        "task": "places5", "seed": 1, "kind": kind, "is_backdoored": str(bool(targets)),
        "took": took, "targets": targets, "score": score, "accused": accused,
    }  # fmt: skip
    return [known | {"reading": 0}, known | {"reading": 1}]


def test_the_table_says_what_the_rows_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "contrast.csv"
    for of in (
        row("clean", "", "", 0.4, 0),
        row("permuted", "", "", 0.1, 0),
        row("blended", "True", "2", 0.9, 2),
        row("wanet", "True", "0", 0.8, 1),
        row("text", "True", "1", 0.3, 1),
        row("siba", "False", "0", 1.0, 0),
    ):
        contrast.append(table, of)
    contrast.main(["--table", str(table)])
    said = capsys.readouterr().out
    assert "2 honest models, 3 attacks that took: AUROC 0.833" in said
    assert "above all but 0% of them (0.400): 1 named" in said
    assert "highest honest places5-1-clean 0.40 places5-1-permuted 0.10" in said
    assert "lowest attacks places5-1-text 0.30" in said


def test_neither_folders_nor_a_table_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        contrast.main([])
    assert "give FOLDER" in capsys.readouterr().err
