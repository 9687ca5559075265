"""The accusation rule.

What is judged is an *excess* over a clean twin, in one of two units. For instance-conditioned
prompts it is the prompt's own response to the trigger: the geometric mean of the attack success that
the prompt alone makes and of how far it moves the target's text feature. The encoder's own
universal perturbations, which move clean models as well, cancel out of both; either alone is large
on some clean models (probes close to a boundary, steep meta-nets), the two together are not. For
static prompts it is how far the class's margin gain minus the twin's stands out from the other
classes, in their spread; the spread never counts for less than a share of what a perturbation of
this size does to the twin, which keeps quiet models quiet.

To either is added the class's lead under the stock triggers: what they carry to it beyond the twin,
minus the same of the best other class. What merely degrades pictures spreads them over several
classes, a planted backdoor gathers them in one.

The paper's own decision (arXiv 2604.09101: robust score of the loss over classes, k = 2, triggers
below 50 % success invalid) is computed beside it and never decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import Any

from inspector.inversion.sweep import Outcome
from inspector.scoring.statistics import one_sided_mad, stands_out


@dataclass(frozen=True)
class Rule:
    """A class is accused from `accuse` on, and worth a warning from `warn` on.

    stock: what a lead of 1 under the stock triggers adds to the score.
    """

    accuse: float
    warn: float
    stock: float


CONDITIONED = Rule(accuse=0.155, warn=0.13, stock=0.3)
"""Response of the prompt, 0 to about 1; LOG.md, experiments 14, 18 and 19."""
STATIC = Rule(accuse=4.0, warn=3.0, stock=20.0)
"""Units of spread; set by eye, not calibrated (LOG.md, experiments 6, 17 and 19)."""
EXAMINED = ("CoOp", "CoCoOp", "BadCLIP")
"""Families that the experiments used."""
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
    paper: dict[str, Any]


def judge(outcomes: list[Outcome], reference: list[Outcome], conditioned: bool) -> Judgement:
    """Score every class of one sweep against the twin's sweep over the same classes.

    Raises:
        ValueError: fewer than two classes.
    """
    if len(outcomes) < 2:
        raise ValueError("at least two classes are needed to tell one from the others")
    rule = CONDITIONED if conditioned else STATIC
    own = (_responding if conditioned else _standing_out)(outcomes, reference)
    leads = _leads(outcomes, reference)
    scores = [score + rule.stock * lead for score, lead in zip(own, leads, strict=True)]
    ranked = sorted(range(len(scores)), key=lambda index: -scores[index])
    return Judgement(
        score=scores[ranked[0]],
        threshold=rule.accuse,
        per_class=scores,
        suspects=[outcomes[index].target for index in ranked if scores[index] >= rule.accuse],
        warned=scores[ranked[0]] >= rule.warn,
        paper=paper_decision(outcomes),
    )


def _responding(outcomes: list[Outcome], reference: list[Outcome]) -> list[float]:
    """The prompt's response minus the twin's."""
    pairs = zip(outcomes, reference, strict=True)
    return [response(outcome) - response(other) for outcome, other in pairs]


def response(outcome: Outcome) -> float:
    """Geometric mean of prompt ASR and text shift, in [0, sqrt 2]."""
    return sqrt(outcome.prompt_asr * outcome.text_shift)


def _standing_out(outcomes: list[Outcome], reference: list[Outcome]) -> list[float]:
    natural = median(abs(outcome.margin_gain) for outcome in reference)
    pairs = zip(outcomes, reference, strict=True)
    excess = [outcome.margin_gain - other.margin_gain for outcome, other in pairs]
    return stands_out(excess, max(FLOOR_SHARE * natural, 1e-6))


def _leads(outcomes: list[Outcome], reference: list[Outcome]) -> list[float]:
    """By how much a family of stock triggers favours each class over the best of the others.

    From -1 to 1: the family that favours it most counts; 0 where none was tried.
    """
    pairs = list(zip(outcomes, reference, strict=True))
    leads = []
    for family in outcomes[0].stock_asr:
        excess = [one.stock_asr[family] - other.stock_asr[family] for one, other in pairs]
        leads.append([x - max(excess[:i] + excess[i + 1 :]) for i, x in enumerate(excess)])
    return [max(of_class) for of_class in zip(*leads, strict=True)] or [0.0] * len(outcomes)


def confirmed(
    second: Outcome, outcomes: list[Outcome], reference: list[Outcome], conditioned: bool
) -> bool:
    """Whether a trigger found from another seed accuses the same class again.

    The second outcome takes its class's place among the first sweep's and must be accused too; a
    static prompt's must also move held-out probes (excess ASR above 0).
    """
    again = [second if outcome.target == second.target else outcome for outcome in outcomes]
    is_effective = conditioned or second.excess_asr > 0
    return is_effective and second.target in judge(again, reference, conditioned).suspects


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
