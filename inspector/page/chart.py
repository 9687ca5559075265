"""The chart of classes: where each score lies, beside the threshold and honest models' scores.

Only geometry; the template draws it. Everything is rounded to a tenth of a unit, so that every
machine writes the same text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inspector.page.figures import is_number, rows, table

MOST_CLASSES = 12
WIDTH, LEFT, RIGHT = 640.0, 190.0, 64.0
TOP, ROW, BAR = 34.0, 22.0, 14.0
_ROOM = 1.06


@dataclass(frozen=True, slots=True)
class Bar:
    """One class: `x`, `width` and `y` of its bar; `end` is where its figure begins."""

    index: Any
    name: Any
    score: float
    x: str
    width: str
    y: str
    middle: str
    end: str
    is_over: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing of WIDTH by `height`; `honest` are places of honest models' scores."""

    bars: list[Bar]
    height: str
    bottom: str
    zero: str
    threshold: float | None
    threshold_x: str | None
    honest: list[str]
    omitted: bool


def chart_of(report: Mapping[str, Any]) -> Chart | None:
    """Of the classes that have a score, highest first; None where there are none."""
    scored = [row for row in rows(report.get("per_class")) if is_number(row.get("score"))]
    if not scored:
        return None
    scored.sort(key=lambda row: -row["score"])
    given = report.get("threshold")
    threshold = given if is_number(given) else None
    honest = honest_scores(report)
    place = _scale([row["score"] for row in scored[:MOST_CLASSES]], threshold, honest)
    bars = [_bar(row, number, place, threshold) for number, row in enumerate(scored[:MOST_CLASSES])]
    bottom = TOP + ROW * len(bars)
    return Chart(
        bars=bars,
        height=_text(bottom + 8),
        bottom=_text(bottom),
        zero=_text(place(0.0)),
        threshold=threshold,
        threshold_x=None if threshold is None else _text(place(threshold)),
        honest=[_text(place(score)) for score in honest],
        omitted=len(scored) > len(bars),
    )


def honest_scores(report: Mapping[str, Any]) -> list[float]:
    """Scores of the honest models that the p-value compares with, where the report tells them."""
    scores = table(report.get("calibration")).get("scores")
    return sorted(filter(is_number, scores)) if isinstance(scores, list) else []


class _scale:  # noqa: N801 (used as a function)
    """From a score to a place."""

    def __init__(
        self, scores: Sequence[float], threshold: float | None, honest: Sequence[float]
    ) -> None:
        everything = [0.0, *scores, *honest, *([] if threshold is None else [threshold])]
        self._low = min(everything)
        self._span = (max(everything) - self._low) * _ROOM or 1.0

    def __call__(self, score: float) -> float:
        return LEFT + (score - self._low) / self._span * (WIDTH - LEFT - RIGHT)


def _bar(row: Mapping[str, Any], number: int, place: _scale, threshold: float | None) -> Bar:
    score, zero = row["score"], place(0.0)
    left, right = sorted((zero, place(score)))
    y = TOP + ROW * number
    return Bar(
        index=row.get("index"),
        name=row.get("name"),
        score=score,
        x=_text(left),
        width=_text(max(right - left, 1.0)),
        y=_text(y + (ROW - BAR) / 2),
        middle=_text(y + ROW / 2 + 4),
        end=_text(right + 5),
        is_over=threshold is not None and score >= threshold,
    )


def _text(value: float) -> str:
    return f"{value:.1f}"
