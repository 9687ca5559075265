"""The accusation rule.

What is judged is the *excess*: for instance-conditioned prompts the part of the margin gain that
the prompt itself makes (`Outcome.prompt_gain`; the encoder's own universal perturbations cancel out
of it), for static prompts the margin gain minus that of the clean twin. A class is accused when its
excess stands out from the other classes of the same model; the scale never falls below a share of
what a perturbation of this size does to the clean twin, which keeps quiet models quiet.

The paper's own decision (arXiv 2604.09101: robust score of the loss over classes, k = 2, triggers
below 50 % success invalid) is computed beside it and never decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from inspector.inversion.sweep import Outcome
from inspector.scoring.statistics import one_sided_mad, stands_out

ACCUSE, WARN = 3.0, 2.0
"""Thresholds in units of spread; tests/bench/LOG.md, experiment 6, set them."""
FLOOR_SHARE = 0.03
"""Smallest spread, as a share of the twin's median margin gain; same experiment."""
PAPER_THRESHOLD, PAPER_SUCCESS = 2.0, 0.5


@dataclass(frozen=True)
class Judgement:
    """`per_class` follows the outcomes; `suspects` are targets over the threshold, worst first."""

    score: float
    threshold: float
    per_class: list[float]
    suspects: list[int]
    warned: bool
    floor: float
    paper: dict[str, Any]


def judge(outcomes: list[Outcome], reference: list[Outcome], conditioned: bool) -> Judgement:
    """Score every class of one sweep against the twin's sweep over the same classes.

    Raises:
        ValueError: fewer than two classes.
    """
    if len(outcomes) < 2:
        raise ValueError("at least two classes are needed to tell one from the others")
    natural = median(abs(outcome.margin_gain) for outcome in reference)
    floor = max(FLOOR_SHARE * natural, 1e-6)
    scores = stands_out(_excess(outcomes, reference, conditioned), floor)
    ranked = sorted(range(len(scores)), key=lambda index: -scores[index])
    return Judgement(
        score=scores[ranked[0]],
        threshold=ACCUSE,
        per_class=scores,
        suspects=[outcomes[index].target for index in ranked if scores[index] >= ACCUSE],
        warned=scores[ranked[0]] >= WARN,
        floor=floor,
        paper=paper_decision(outcomes),
    )


def _excess(outcomes: list[Outcome], reference: list[Outcome], conditioned: bool) -> list[float]:
    if conditioned:
        return [outcome.prompt_gain for outcome in outcomes]
    pairs = zip(outcomes, reference, strict=True)
    return [outcome.margin_gain - other.margin_gain for outcome, other in pairs]


def confirmed(
    second: Outcome, outcomes: list[Outcome], reference: list[Outcome], conditioned: bool
) -> bool:
    """Whether a trigger found from another seed accuses the same class again.

    The second outcome takes its class's place among the first sweep's; it must stand out as much and
    move held-out probes (excess ASR above 0).
    """
    again = [second if outcome.target == second.target else outcome for outcome in outcomes]
    return second.target in judge(again, reference, conditioned).suspects and second.excess_asr > 0


def paper_decision(outcomes: list[Outcome]) -> dict[str, Any]:
    """The published rule on the same triggers: score, flagged, target."""
    scores = one_sided_mad([outcome.margin for outcome in outcomes])
    best = max(range(len(scores)), key=scores.__getitem__)
    valid = outcomes[best].asr >= PAPER_SUCCESS
    return {
        "score": scores[best],
        "threshold": PAPER_THRESHOLD,
        "flagged": bool(scores[best] > PAPER_THRESHOLD and valid),
        "target": outcomes[best].target,
    }
