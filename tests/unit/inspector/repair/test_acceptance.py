"""The words for a repair: each bar alone stops it, and what was not measured is not proved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inspector.repair.acceptance import (
    FEWEST_MEASURED,
    LARGEST_LOSS,
    LEAST_AGREEMENT,
    RESIDUAL_EXCESS_ASR,
    Accuracy,
    Shown,
    outcome_of,
)

MEASURED = Accuracy(before=0.9, after=0.9, lost=0, pictures=100, covers_all=True)
BEST = Shown(0.0, is_suspicious=False, is_exhaustive=True, accuracy=MEASURED, agreement=0.5)
UNLABELLED = replace(BEST, accuracy=None, agreement=0.95)


def test_a_repair_is_one_where_both_were_measured_and_are_within_their_bars() -> None:
    """Labels say more than agreement, which is then not asked."""
    assert outcome_of(BEST) == "repaired"


@pytest.mark.parametrize(
    "shown",
    [
        replace(BEST, excess_asr=RESIDUAL_EXCESS_ASR),
        replace(BEST, is_suspicious=True),
        replace(BEST, accuracy=replace(MEASURED, after=0.9 - LARGEST_LOSS - 0.001)),
        replace(BEST, accuracy=replace(MEASURED, after=0.5, pictures=10)),
        replace(UNLABELLED, agreement=LEAST_AGREEMENT - 0.001),
        replace(UNLABELLED, is_suspicious=True),
    ],
)
def test_whatever_was_measured_over_its_bar_fails_it(shown: Shown) -> None:
    assert outcome_of(shown) == "failed"


@pytest.mark.parametrize(
    "shown",
    [
        replace(BEST, is_exhaustive=False),
        replace(BEST, accuracy=replace(MEASURED, pictures=FEWEST_MEASURED - 1), agreement=None),
        replace(BEST, accuracy=replace(MEASURED, covers_all=False), agreement=None),
        UNLABELLED,
        replace(UNLABELLED, agreement=None),
    ],
)
def test_what_was_not_measured_is_not_proved(shown: Shown) -> None:
    assert outcome_of(shown) == "unproved"
