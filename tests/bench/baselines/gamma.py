"""MM-BD's order-statistic test: a shifted gamma distribution, as the authors fit it with SciPy.

For the handful of values that a few classes leave, the likelihood has no finite maximum (location at
the smallest value, shape below 1); there the result is where SciPy's simplex stops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import stats

Parameters = tuple[float, float, float]
"""Shape, location and scale."""


def fit(values: Sequence[float]) -> Parameters:
    """Maximum likelihood.

    Raises:
        ValueError: fewer than two different values.
    """
    if len(set(values)) < 2:
        raise ValueError("a spread cannot be fitted to fewer than two different values")
    shape, location, scale = stats.gamma.fit(values)
    return float(shape), float(location), float(scale)


def order_p(largest: float, others: Sequence[float]) -> float:
    """Chance that the largest of all classes' statistics is at least `largest`, none of them a target.

    1 - F(largest)^n with F fitted to the n - 1 others; computed from the tail, so that small chances
    do not round to 0.
    """
    above = float(stats.gamma.sf(largest, *fit(others)))
    if above >= 1:
        return 1.0
    return -math.expm1((len(others) + 1) * math.log1p(-above))
