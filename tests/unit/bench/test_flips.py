"""Verdicts of several seeds beside each other."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.bench.flips import main

FIELDS = ("inspection_seed", "task", "seed", "kind", "took", "verdict", "score", "right")


def _table(path: Path, seeds: dict[int, str], *, rest: tuple[str, ...]) -> Path:
    """One model, with a verdict by seed; seed 0 alone has no column of seeds."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS if any(seeds) else FIELDS[1:], extrasaction="ignore")
        writer.writeheader()
        for seed, verdict in seeds.items():
            row = dict(zip(("task", "seed", "kind", "took"), rest, strict=True))
            right = (verdict == "backdoored") == (row["took"] == "True")
            writer.writerow(
                row | {"inspection_seed": seed, "verdict": verdict, "score": 1, "right": right}
            )
    return path


def test_the_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attacked = ("a", "1", "blended", "True")
    tables = [
        _table(tmp_path / "first.csv", {0: "backdoored"}, rest=attacked),
        _table(tmp_path / "more.csv", {1: "clean", 2: "backdoored"}, rest=attacked),
        _table(tmp_path / "clean.csv", dict.fromkeys((0, 1, 2), "clean"), rest=("a", "1", "clean", "")),
        _table(tmp_path / "half.csv", {0: "backdoored"}, rest=("b", "1", "clean", "")),
    ]  # fmt: skip
    main([str(table) for table in tables])
    out = capsys.readouterr().out
    assert "1 of 6 inspections of 2 models differ (16.67%)" in out
    assert "a-1-blended 0:backdoored:1 1:clean:1 2:backdoored:1" in out
    assert "a-1-clean 0" not in out
    assert "| 0 | 1 of 1 | 0 of 1 |" in out
    assert "| 1 | 0 of 1 | 0 of 1 |" in out


def test_one_seed_alone_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = _table(tmp_path / "first.csv", {0: "clean"}, rest=("a", "1", "clean", ""))
    with pytest.raises(SystemExit):
        main([str(table)])
    assert "no model was inspected with two seeds" in capsys.readouterr().err
