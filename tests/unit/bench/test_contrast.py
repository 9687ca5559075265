"""The table of a search by contrast: figures from rows, whatever order they stand in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench import contrast


def rows(kind: str, took: str, targets: str, *found: tuple[int, str, float]) -> list[Any]:
    known = dict.fromkeys(contrast.FIELDS, "") | {
        "task": "places5", "seed": 1, "kind": kind, "is_backdoored": str(bool(targets)),
        "took": took, "targets": targets,
    }  # fmt: skip
    return [
        known | {"class": target, "space": space, "value": value} for target, space, value in found
    ]


def test_the_table_says_what_the_rows_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "contrast.csv"
    for of in (
        rows("clean", "", "", (0, "blend", 0.4), (0, "mask", 0.0)),
        rows("blended", "True", "2", (1, "blend", 0.3), (2, "blend", 0.9),
             (2, "mask", 0.6)),
        rows("wanet", "True", "0", (1, "blend", 0.35), (1, "mask", 0.35)),
        rows("siba", "False", "0", (1, "blend", 1.0)),
    ):  # fmt: skip
        contrast.append(table, of)
    contrast.main(["--table", str(table)])
    said = capsys.readouterr().out
    assert "1 honest models, 2 attacks that took" in said
    largest, two = (line for line in said.splitlines() if line.startswith(("largest", "two")))
    assert "AUROC 0.500" in largest and "right class 1 of 2" in largest
    assert "highest honest [0.4]" in largest and "above all honest 1" in largest
    assert "AUROC 1.000" in two and "highest honest [0.2]" in two


def test_a_model_s_number_is_of_its_worst_class() -> None:
    of = rows("blended", "True", "2", (1, "blend", 0.2), (2, "blend", 0.7))
    value, worst = contrast.scored(of, contrast.best_of(1))
    assert value == pytest.approx(0.7) and worst == 2


def test_neither_folders_nor_a_table_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        contrast.main([])
    assert "give FOLDER" in capsys.readouterr().err
