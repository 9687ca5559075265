"""Error rates of a report: from the exam's rows, and none where nobody measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inspector.calibration.rates import RATES, Measured, error_rates
from inspector.files import read_json
from inspector.profiles import POCKET
from tests.bench.ledger import ROOT
from tests.exam.rates import rates
from tests.exam.rows import read

TABLE = ROOT / "tests" / "bench" / "tables" / "exam-exam-twins-3.csv"
LIKE = Measured(read(TABLE)[0].rule, "standard", POCKET, "CoCoOp", is_of_the_task=True, classes=6)


def test_the_file_is_what_the_exam_s_rows_say() -> None:
    assert read_json(RATES) == rates(read(TABLE), "exam-5")


def test_an_inspection_like_the_exam_s_is_told_how_often_they_were_wrong() -> None:
    told = error_rates(LIKE)
    assert told is not None and set(told) == {"basis", "false_alarms", "misses"}
    rows = [row for row in read(TABLE) if 3 <= row.classes <= 8]
    assert told["false_alarms"]["of"] == sum(not row.is_backdoored for row in rows)
    assert told["misses"]["of"] == sum(bool(row.took) for row in rows)
    assert (
        0
        < told["misses"]["low"]
        < told["misses"]["count"] / told["misses"]["of"]
        < told["misses"]["high"]
    )
    assert error_rates(replace(LIKE, family="BadCLIP")) == told


@pytest.mark.parametrize(
    "other",
    [
        {"statistic": "another"}, {"profile": "quick"}, {"backbone": None}, {"family": "CoOp"},
        {"family": "MaPLe"}, {"is_of_the_task": False}, {"classes": 100},
    ],
    ids=str,
)  # fmt: skip
def test_nobody_measured_others(other: dict[str, object]) -> None:
    assert error_rates(replace(LIKE, **other)) is None  # type: ignore[arg-type]
