"""Robust statistics over classes, after the median absolute deviation of Neural Cleanse (S&P 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

CONSISTENCY = 1.4826
"""Makes the median absolute deviation an estimate of a normal standard deviation."""


def spread(values: Sequence[float]) -> float:
    """1.4826 times the median absolute deviation."""
    centre = median(values)
    return CONSISTENCY * median(abs(value - centre) for value in values)


def one_sided_mad(values: Sequence[float]) -> list[float]:
    """(x - median) / spread over all classes: the published statistic. Zero where all are equal."""
    centre, scale = median(values), spread(values)
    return [(value - centre) / scale if scale > 0 else 0.0 for value in values]
