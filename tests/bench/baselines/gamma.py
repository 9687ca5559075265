"""Fit of a shifted gamma distribution, and its tail, for MM-BD's order-statistic test.

The authors use SciPy's `gamma.fit`, a maximum-likelihood fit of shape, location and scale by the
Nelder-Mead simplex from a start by moments. SciPy is no dependency here, so the same is done in a few
lines. For the handful of values that a few classes leave, the likelihood has no finite maximum
(location at the smallest value, shape below 1); there the result is where the simplex stops, as it is
with the original.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from tests.bench.metrics import Floats

Parameters = tuple[float, float, float]
"""Shape, location and scale."""

OUTSIDE = 100 * math.log(np.finfo(np.float64).max)
"""What a value below the location adds to the negative log-likelihood."""
CALLS, TOLERANCE = 600, 1e-4
"""SciPy's: 200 evaluations a parameter, and how near corners and heights must be."""


def fit(values: Sequence[float]) -> Parameters:
    """Maximum likelihood from a start by moments.

    Raises:
        ValueError: fewer than two different values.
    """
    data = np.asarray(values, np.float64)
    if len(set(values)) < 2:
        raise ValueError("a spread cannot be fitted to fewer than two different values")
    shape, location, scale = simplex(lambda p: _cost(p, data), _start(data))
    return float(shape), float(location), float(scale)


def order_p(largest: float, others: Sequence[float]) -> float:
    """Chance that the largest of all classes' statistics is at least `largest`, none of them a target.

    1 - F(largest)^n with F fitted to the n - 1 others; computed from the tail, so that small chances
    do not round to 0.
    """
    shape, location, scale = fit(others)
    above = tail(largest, (shape, location, scale))
    if above >= 1:
        return 1.0
    return -math.expm1((len(others) + 1) * math.log1p(-above))


def tail(value: float, parameters: Parameters) -> float:
    """Chance of more than `value`."""
    shape, location, scale = parameters
    reduced = max(0.0, (value - location) / scale)
    pair = (torch.tensor(number, dtype=torch.float64) for number in (shape, reduced))
    return float(torch.special.gammaincc(*pair))


def _start(data: Floats) -> Floats:
    """Shape from the skewness, the others from mean and variance, moved below the smallest value."""
    spread = data - data.mean()
    variance = (spread**2).mean()
    skewness = (spread**3).mean() / variance**1.5
    shape = 4 / (1e-8 + skewness**2)
    scale = math.sqrt(variance / shape)
    location = data.mean() - shape * scale
    if location >= data.min():
        location, scale = data.min() - 0.1 * (data.max() - data.min()), 1.0
    return np.asarray([shape, location, scale], np.float64)


def _cost(parameters: Floats, data: Floats) -> float:
    """Negative log-likelihood; values outside of the support cost a fixed, large amount each."""
    shape, location, scale = (float(value) for value in parameters)
    if shape <= 0 or scale <= 0:
        return math.inf
    reduced = (data - location) / scale
    inside = reduced[reduced > 0]
    fixed = len(inside) * (math.lgamma(shape) + math.log(scale))
    likely = float(((shape - 1) * np.log(inside) - inside).sum()) - fixed
    return -likely + OUTSIDE * (len(data) - len(inside))


def simplex(cost: Callable[[Floats], float], start: Floats) -> Floats:
    """Minimum by Nelder and Mead (1965) with their coefficients, from corners 5 % away."""
    corners = [start] + [start.copy() for _ in start]
    for index, corner in enumerate(corners[1:]):
        corner[index] = corner[index] * 1.05 if corner[index] else 0.00025
    calls = 0

    def counted(corner: Floats) -> float:
        nonlocal calls
        calls += 1
        return cost(corner)

    ranked = sorted(((counted(corner), corner) for corner in corners), key=lambda pair: pair[0])
    while calls < CALLS:
        points = np.stack([corner for _, corner in ranked])
        heights = np.asarray([height for height, _ in ranked])
        is_small = np.abs(points[1:] - points[0]).max() <= TOLERANCE
        if is_small and np.abs(heights[1:] - heights[0]).max() <= TOLERANCE:
            break
        ranked = sorted(_moved(counted, ranked), key=lambda pair: pair[0])
    return ranked[0][1]


def _moved(
    cost: Callable[[Floats], float], ranked: list[tuple[float, Floats]]
) -> list[tuple[float, Floats]]:
    """The corners after one move: reflected, expanded, contracted, or all shrunk."""
    (lowest, best), (highest, worst) = ranked[0], ranked[-1]
    middle = np.mean([corner for _, corner in ranked[:-1]], axis=0)

    def tried(step: float) -> tuple[float, Floats]:
        corner = middle + step * (middle - worst)
        return cost(corner), corner

    reflected = tried(1.0)
    if reflected[0] < lowest:
        expanded = tried(2.0)
        return [*ranked[:-1], min(expanded, reflected, key=lambda pair: pair[0])]
    if reflected[0] < ranked[-2][0]:
        return [*ranked[:-1], reflected]
    is_outside = reflected[0] < highest
    contracted = tried(0.5 if is_outside else -0.5)
    if contracted[0] <= reflected[0] if is_outside else contracted[0] < highest:
        return [*ranked[:-1], contracted]
    shrunk = [best + 0.5 * (corner - best) for _, corner in ranked[1:]]
    return [ranked[0], *((cost(corner), corner) for corner in shrunk)]
