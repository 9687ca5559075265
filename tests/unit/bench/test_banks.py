"""A bank from rows: the scores, how each model was made, and no rows that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inspector.calibration import load
from inspector.calibration.pvalue import TASK
from inspector.clip.backbone import load_backbone
from inspector.profiles import FEW_CLASSES
from tests.bench import banks
from tests.bench.banks import Unfit, bank
from tests.bench.ledger import ROOT
from tests.exam.rows import read

TABLE = ROOT / "tests" / "bench" / "tables" / "exam-bank-twins-1-thorough.csv"


def test_banks_are_the_rows_scores_and_can_be_read_again(tmp_path: Path) -> None:
    banks.main([str(TABLE), "--out", str(tmp_path)])
    few, more = (
        load(tmp_path / "pocket-thorough-few.json"),
        load(tmp_path / "pocket-thorough-more.json"),
    )
    rows = read(TABLE)
    scores = sorted(row.score for row in rows if row.score is not None)
    assert sorted(few.scores + more.scores) == scores and len(scores) == len(rows)
    for made in (few, more):
        assert (made.statistic, made.profile, made.probes) == ("twins-1", "thorough", TASK)
    assert few.class_counts[1] <= FEW_CLASSES < more.class_counts[0]
    assert {one["task"] for made in (few, more) for one in made.recipes} == {
        row.task for row in rows
    }


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
