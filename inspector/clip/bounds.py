"""Exact one-sided bounds of a share that was counted (Clopper & Pearson, Biometrika 26, 1934).

No torch.
"""

from __future__ import annotations

import math

CONFIDENCE = 0.95
_HALVINGS = 50


def upper_bound(count: int, of: int, confidence: float = CONFIDENCE) -> float:
    """The largest probability with which so few of so many are no surprise, in [0,1]."""
    if count >= of:
        return 1.0
    low, high = count / of, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _at_most(count, of, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def lower_bound(count: int, of: int, confidence: float = CONFIDENCE) -> float:
    """The smallest probability with which so many of so many are no surprise, in [0,1]."""
    return 1 - upper_bound(of - count, of, confidence)


def _at_most(count: int, of: int, probability: float) -> float:
    """Probability of `count` or fewer of `of`. By logarithms: binomials overflow."""
    chance, rest = math.log(probability), math.log1p(-probability)
    return math.fsum(
        math.exp(_log_binomial(of, n) + n * chance + (of - n) * rest) for n in range(count + 1)
    )


def _log_binomial(of: int, count: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)
