"""The published decision (CLIP-Inspector, arXiv 2604.09101), told beside ours; it never decides.

score_k = (m_k - median m) / (1.4826 median |m - median m|), m_k: mean margin of held-out probes
under the trigger found for class k, in logit units. The class of the highest score is accused above
2 if its trigger moves at least half of the probes. The statistic is Neural Cleanse's (S&P 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from inspector.detection.evidence import Outcome

PUBLISHED_THRESHOLD, PUBLISHED_SUCCESS = 2.0, 0.5
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


def published_decision(outcomes: list[Outcome]) -> dict[str, Any] | None:
    """The published rule on the same triggers: score, flagged, target.

    None unless all classes have a trigger.
    """
    found = [one.inverted for one in outcomes if one.inverted]
    if len(found) < len(outcomes):
        return None
    scores = one_sided_mad([one.margin for one in found])
    best = max(range(len(scores)), key=scores.__getitem__)
    valid = found[best].asr >= PUBLISHED_SUCCESS
    return {
        "score": scores[best],
        "threshold": PUBLISHED_THRESHOLD,
        "flagged": bool(scores[best] > PUBLISHED_THRESHOLD and valid),
        "target": outcomes[best].target,
    }
