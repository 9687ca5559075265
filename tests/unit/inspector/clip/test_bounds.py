"""Bounds of counted shares are the beta distribution's, for thousands of pictures, too."""

from __future__ import annotations

import pytest
from scipy.stats import beta

from inspector.clip.bounds import CONFIDENCE, lower_bound, upper_bound

COUNTS = [(0, 30), (1, 40), (7, 64), (30, 31), (3, 2048), (1500, 2048)]


@pytest.mark.parametrize("confidence", [CONFIDENCE, 0.999])
@pytest.mark.parametrize(("count", "of"), COUNTS)
def test_bounds_are_clopper_pearsons(count: int, of: int, confidence: float) -> None:
    expected = beta.ppf(confidence, count + 1, of - count)
    assert upper_bound(count, of, confidence) == pytest.approx(expected, rel=1e-6)
    below = beta.ppf(1 - confidence, count, of - count + 1) if count else 0.0
    assert lower_bound(count, of, confidence) == pytest.approx(below, rel=1e-6)


def test_all_of_them_bound_nothing_from_above_and_none_nothing_from_below() -> None:
    assert upper_bound(5, 5) == 1.0
    assert lower_bound(0, 5) == 0.0
