"""A bank from rows: the scores, how each model was made, and no rows that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inspector.calibration import load
from inspector.calibration.pvalue import TASK
from inspector.clip.backbone import load_backbone
from inspector.detection.twin_test import joined
from inspector.profiles import FEW_CLASSES, TWINS
from tests.bench import banks
from tests.bench.appended import read as drawn_rows
from tests.bench.banks import Unfit, bank, with_random
from tests.bench.ledger import ROOT
from tests.exam.rows import read

TABLES = ROOT / "tests" / "bench" / "tables"
TABLE = TABLES / "exam-bank-twins-1-thorough.csv"
DRAWN = TABLES / "bank-random-standard.csv"


def test_banks_are_the_rows_scores_and_can_be_read_again(tmp_path: Path) -> None:
    banks.main([str(TABLE), "--random", str(DRAWN), "--out", str(tmp_path)])
    few, more = (
        load(tmp_path / "pocket-thorough-few.json"),
        load(tmp_path / "pocket-thorough-more.json"),
    )
    rows = read(TABLE)
    drawn = {
        (one["task"], one["seed"], one["kind"]): float(one["random"]) for one in drawn_rows(DRAWN)
    }
    scores = sorted(
        joined(row.score or 0.0, drawn[row.task, str(row.seed), row.kind]) for row in rows
    )
    assert sorted(few.scores + more.scores) == scores
    for made in (few, more):
        assert (made.statistic, made.profile, made.probes) == (TWINS, "thorough", TASK)
    assert few.class_counts[1] <= FEW_CLASSES < more.class_counts[0]
    assert {one["task"] for made in (few, more) for one in made.recipes} == {
        row.task for row in rows
    }


def test_a_model_that_random_triggers_did_not_read_is_refused(tmp_path: Path) -> None:
    lines = DRAWN.read_text().splitlines(keepends=True)
    cut = tmp_path / "cut.csv"
    cut.write_text("".join(lines[:-1]))
    rows = read(TABLE)
    assert len(with_random(rows, DRAWN)) == len(rows)
    with pytest.raises(Unfit, match="^1 models"):
        with_random(rows, cut)


def test_rows_that_are_no_bank_are_refused() -> None:
    backbone, (first, second, *_) = load_backbone("pocket"), read(TABLE)
    assert len(bank([first, second], backbone).scores) == 2
    for other in (
        replace(second, probes="builtin"),
        replace(second, is_backdoored=True),
        replace(second, score=None),
        replace(second, family="MaPLe"),
        replace(second, digest="another"),
        replace(second, classes=FEW_CLASSES + 1),
    ):
        with pytest.raises(Unfit):
            bank([first, other], backbone)
    assert bank([first, second], backbone, "standard").profile == "standard"
    for profile in ("quick", "paper"):  # They search otherwise.
        with pytest.raises(Unfit):
            bank([first, second], backbone, profile)
