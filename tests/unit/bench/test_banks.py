"""A bank from rows: the scores, how each model was made, and no rows that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inspector.calibration import load
from inspector.calibration.pvalue import TASK
from inspector.clip.backbone import load_backbone
from tests.bench import banks
from tests.bench.banks import Unfit, bank
from tests.bench.ledger import ROOT
from tests.exam.rows import read

TABLE = ROOT / "tests" / "bench" / "tables" / "exam-bank-twins-1-thorough.csv"


def test_a_bank_is_the_rows_scores_and_can_be_read_again(tmp_path: Path) -> None:
    out = tmp_path / "bank.json"
    banks.main([str(TABLE), "--out", str(out)])
    made, rows = load(out), read(TABLE)
    assert list(made.scores) == sorted(row.score for row in rows if row.score is not None)
    assert len(made.scores) == len(rows)
    assert (made.statistic, made.profile, made.probes) == ("twins-1", "thorough", TASK)
    assert {one["task"] for one in made.recipes} == {row.task for row in rows}


def test_rows_that_are_no_bank_are_refused() -> None:
    backbone, (first, second, *_) = load_backbone("pocket"), read(TABLE)
    assert len(bank([first, second], backbone).scores) == 2
    for other in (
        replace(second, probes="builtin"),
        replace(second, is_backdoored=True),
        replace(second, score=None),
        replace(second, family="MaPLe"),
        replace(second, digest="another"),
    ):
        with pytest.raises(Unfit):
            bank([first, other], backbone)
