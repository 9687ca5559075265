"""The words for a repair: each bar alone stops it, and what was not measured is not proved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inspector.repair.acceptance import (
    FEWEST_MEASURED,
    LARGEST_LOSS,
    LEAST_AGREEMENT,
    RESIDUAL_EXCESS_ASR,
    Accuracy,
    Judged,
    Shown,
    outcome_of,
)

MEASURED = Accuracy(before=0.9, after=0.9, lost=0, pictures=100, covers_all=True)
BEST = Shown(
    Judged(0.0, 0.0, MEASURED, agreement=0.5, is_of_task=True),
    is_suspicious=False, is_exhaustive=True,
)  # fmt: skip
FEW = replace(MEASURED, pictures=FEWEST_MEASURED - 1)
SOME = replace(MEASURED, covers_all=False)


def measured(shown: Shown, **changes: Any) -> Shown:
    return replace(shown, judged=replace(shown.judged, **changes))


UNLABELLED = measured(BEST, accuracy=None, agreement=0.95)
ELSEWHERE = measured(UNLABELLED, is_of_task=False, agreement=0.1)


def test_a_repair_is_one_where_both_were_measured_and_are_within_their_bars() -> None:
    """Labels say more than agreement, which is then not asked."""
    assert outcome_of(BEST) == "repaired"


@pytest.mark.parametrize(
    "shown",
    [
        measured(BEST, excess_asr=RESIDUAL_EXCESS_ASR),
        replace(BEST, is_suspicious=True),
        measured(BEST, accuracy=replace(MEASURED, after=0.9 - LARGEST_LOSS - 0.001)),
        measured(BEST, accuracy=replace(MEASURED, after=0.5, pictures=10)),
        measured(UNLABELLED, agreement=LEAST_AGREEMENT - 0.001),
        measured(BEST, accuracy=FEW),
        measured(BEST, accuracy=SOME),
        replace(UNLABELLED, is_suspicious=True),
    ],
)
def test_whatever_was_measured_over_its_bar_fails_it(shown: Shown) -> None:
    assert outcome_of(shown) == "failed"


@pytest.mark.parametrize(
    "shown",
    [
        replace(BEST, is_exhaustive=False),
        measured(BEST, accuracy=FEW, is_of_task=False),
        measured(BEST, accuracy=SOME, agreement=LEAST_AGREEMENT),
        UNLABELLED,
        ELSEWHERE,
    ],
)
def test_what_was_not_measured_is_not_proved(shown: Shown) -> None:
    assert outcome_of(shown) == "unproved"
