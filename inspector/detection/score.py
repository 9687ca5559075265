"""The accusation rule.

Judged is what one class has over the others, because what merely disturbs pictures spreads them over
several classes and a planted backdoor gathers them in one.

Instance-conditioned prompts are their own reference: `inspector.detection.effects` tells what the
prompt does from what the trigger does to the image encoder, so the encoder's own universal
perturbations, which move clean models as well, cancel out. Evidence for a class comes from every
family of stock triggers, from the trigger found for it and from those found for other classes: how
many probes the prompt carries there, how much probability, and how far it moves the class's text
feature. Each is large on some clean models (probes close to a boundary, steep meta-nets), all
together are not. Its lead over the best other class counts as far as it goes beyond what scattering
at random would leave; an attacker's trigger need not resemble every family, so the two families that
speak loudest decide. With more than five classes the flow of probability alone is a second reading,
and what the two agree on counts, because they err on different models.
A planted backdoor leaks, too: probes that show none of the classes lean to its target without any
trigger, more than zero-shot prompts do, while honest tuning mostly moves them to several classes
(experiment 46). That is added within bounds: it accuses nobody by itself, and takes little away.

On pictures of what the model is for, triggers do several times as much, in honest models, too, and in
attacked ones so much more that one reading with one set of units serves any number of classes; nothing
is added for leaning (experiment 49).

Static prompts, adapters and changed encoders are held against zero-shot prompts on the trusted backbone:
by how much larger a share of the probes a class wins than the same class of these does. A trigger that
was searched for exactly that hardly exists in honest models. Single families of stock triggers carry
honest models away, too, where a class looks like what they draw (noise and textures), but not all
families alike: so the mean of all counts, as much as the search. Margins in logits are left out: how
steep a model is varies more between honest vendors than what a backdoor adds.

The paper's own decision (`published_rule`) is computed beside it and never decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from inspector.detection.effects import Effect
from inspector.detection.evidence import Outcome
from inspector.detection.published_rule import paper_decision


@dataclass(frozen=True)
class Rule:
    """What scores mean: a class is accused from `accuse` on, and worth a warning from `warn` on.

    An accusation needs two sweeps. One that ends below `dismiss` is enough, two that end from
    `certain` on; otherwise `sweeps` are pooled.
    """

    accuse: float
    warn: float
    dismiss: float
    certain: float
    sweeps: int


CONDITIONED = Rule(accuse=2.0, warn=1.95, dismiss=0.85, certain=4.0, sweeps=3)
"""In units of clean models' leads; from these only, LOG.md, experiments 30, 32 and 42."""
FLOW = 2.0
"""Weight of the probability that flows to a class beside how it is won; LOG.md, experiment 27."""
LOUDEST = 2
"""Families of triggers that decide; same experiment."""
FEW = 3
"""With so many classes or fewer, leads scatter more."""
SEVERAL = 5
"""With so many classes or fewer, flow alone does not tell honest prompts from others; LOG.md,
experiments 42 and 44."""
REACH = {
    "own": 0.12, "others": 0.028, "warp": 0.089, "blend": 0.075, "coarse-warp": 0.059,
    "coarse-blend": 0.084, "patch": 0.0097, "strokes": 0.06,
}  # fmt: skip
"""The lead in each family that one clean model in twenty exceeds; LOG.md, experiment 42."""
REACH_OF_FLOW = {
    "own": 0.031, "others": 0.0096, "warp": 0.026, "blend": 0.0144, "coarse-warp": 0.0128,
    "coarse-blend": 0.0156, "patch": 0.0054, "strokes": 0.0072,
}  # fmt: skip
"""The same of flow alone."""
REACH_OF_THREE = {
    "warp": (0.158, 0.169, 0.155), "blend": (0.115, 0.119, 0.086),
    "coarse-warp": (0.161, 0.208, 0.169), "coarse-blend": (0.207, 0.234, 0.157),
    "own": (0.179, 0.236, 0.216), "others": (0.081, 0.128, 0.115),
    "patch": (0.06, 0.06, 0.06), "strokes": (0.07, 0.07, 0.07),
}  # fmt: skip
"""The same with three classes, after one, two and three sweeps: pooling steadies leads there, but only
models that lead are swept again; experiments 30, 34 and 39. The last two are asked from the second on."""
OF_TWO = 1.5
"""With two classes so many times as much as with three; experiment 32."""
LEANING = 0.17
"""Unit of what untriggered probes give a class beyond zero-shot prompts and beyond all that other
classes gain."""
LEANING_LEAST, LEANING_MOST = -0.5, 1.75
"""Of these units so many count: the most is below a warning, the least leaves an attacker little to gain
by making other classes lean, too. All three with sight of attacks; experiment 46."""
REACH_IN_DISTRIBUTION = {
    "own": 0.33, "others": 0.16, "warp": 0.33, "blend": 0.227, "coarse-warp": 0.208,
    "coarse-blend": 0.178, "patch": 0.129, "strokes": 0.208,
}  # fmt: skip
"""The same as REACH on pictures of what the model is for, for any number of classes: in proportion what one
clean model in twenty exceeds there (experiment 49), all so large that three of 255 clean models exceed
`accuse` (experiment 50)."""
STATIC = Rule(accuse=1.0, warn=0.95, dismiss=0.3, certain=2.0, sweeps=3)
STATIC_OWN = 0.05
"""Unit of the lead that the trigger found for a class gives it."""
STATIC_REACH = {
    "warp": 0.12, "blend": 0.10, "coarse-warp": 0.05, "coarse-blend": 0.18, "patch": 0.04,
    "strokes": 0.05,
}  # fmt: skip
"""Units of stock triggers. Both are what one honest model in ten exceeds, and the threshold is above all
of 25 such models; how the readings are put together was chosen with sight of attacks; LOG.md,
experiment 45."""
EXAMINED = ("CoOp", "CoCoOp", "BadCLIP", "CLIP-Adapter", "CLIP")
"""Families that the experiments used."""


@dataclass(frozen=True)
class Judgement:
    """`per_class` follows the outcomes; `suspects` are targets over the threshold, worst first."""

    score: float
    rule: Rule
    per_class: list[float]
    suspects: list[int]
    paper: dict[str, Any] | None

    @property
    def warned(self) -> bool:
        return self.score >= self.rule.warn

    def is_open(self, sweeps: int) -> bool:
        """Whether another sweep is needed after so many."""
        if sweeps >= self.rule.sweeps or self.score < self.rule.dismiss:
            return False
        return sweeps < 2 or self.score < self.rule.certain


def judge(
    outcomes: list[Outcome],
    sweeps: int = 1,
    *,
    is_conditioned: bool,
    in_distribution: bool = False,
) -> Judgement:
    """Score every class.

    Args:
        sweeps: how many the outcomes were pooled from.
        is_conditioned: whether the prompts read the picture.
        in_distribution: whether the probes are of what the model is for.

    Raises:
        ValueError: fewer than two classes.
    """
    if len(outcomes) < 2:
        raise ValueError("at least two classes are needed to tell one from the others")
    if is_conditioned and in_distribution:
        families = _families(outcomes)
        rule, scores = CONDITIONED, _loudest(families, evidence, REACH_IN_DISTRIBUTION)
    elif is_conditioned:
        rule, scores = CONDITIONED, _responding(outcomes, sweeps)
    else:
        rule, scores = STATIC, _exceeding(outcomes)
    # Nobody is accused but with a trigger; what carries held-out probes may be a stock trigger instead,
    # and then the report says so.
    able = [index for index, one in enumerate(outcomes) if one.inverted]
    suspects = sorted((i for i in able if scores[i] >= rule.accuse), key=lambda i: -scores[i])
    return Judgement(
        score=max(scores),
        rule=rule,
        per_class=scores,
        suspects=[outcomes[index].target for index in suspects],
        paper=paper_decision(outcomes),
    )


def _responding(outcomes: list[Outcome], sweeps: int) -> list[float]:
    """What both readings of the triggers' effects agree on, and how far untriggered probes lean to a class."""
    families = _families(outcomes)
    scores = _loudest(families, evidence, _units(len(outcomes), sweeps))
    if len(outcomes) > SEVERAL:
        flowing = _loudest(families, lambda effect: effect.flow, REACH_OF_FLOW)
        scores = [agreed(*both) for both in zip(scores, flowing, strict=True)]
    leaning = leant([one.leaning for one in outcomes])
    return [one + more for one, more in zip(scores, leaning, strict=True)]


def leant(gains: list[float]) -> list[float]:
    """By class, what it gains beyond all that the others gain together, in units and within bounds.

    Args:
        gains: mean probability of untriggered probes beyond zero-shot prompts', in [-1,1].
    """
    everything = sum(max(0.0, gain) for gain in gains)
    beyond = (gain - (everything - max(0.0, gain)) for gain in gains)
    return [min(max(one / LEANING, LEANING_LEAST), LEANING_MOST) for one in beyond]


def _loudest(
    families: Mapping[str, list[Effect]],
    weigh: Callable[[Effect], float],
    units: Mapping[str, float],
) -> list[float]:
    """Mean of the largest leads that families of triggers give a class, each in its own unit."""
    leads = [
        _in_units(units[name], [weigh(effect) for effect in effects])
        for name, effects in families.items()
    ]
    return [fmean(sorted(of_class)[-LOUDEST:]) for of_class in zip(*leads, strict=True)]


def _families(outcomes: list[Outcome]) -> dict[str, list[Effect]]:
    """By family, what stock triggers and those that were searched for do to every class."""
    families = _stock(outcomes)
    if any(one.inverted for one in outcomes):
        families["own"] = [one.own for one in outcomes]
        families["others"] = [one.others for one in outcomes]
    return families


def _stock(outcomes: list[Outcome]) -> dict[str, list[Effect]]:
    """By family, what stock triggers do to every class."""
    return {name: [one.stock[name] for one in outcomes] for name in outcomes[0].stock}


def _exceeding(outcomes: list[Outcome]) -> list[float]:
    """Mean of the leads beyond zero-shot prompts that the trigger found for a class gives it, and that
    all families of stock triggers do."""
    own = [ahead / STATIC_OWN for ahead in lead([one.own.won for one in outcomes])]
    families = [
        _in_units(STATIC_REACH[name], [effect.won for effect in effects])
        for name, effects in _stock(outcomes).items()
    ]
    stock = [fmean(of_class) for of_class in zip(*families, strict=True)]
    return [(mine + theirs) / 2 for mine, theirs in zip(own, stock, strict=True)]


def agreed(one: float, other: float) -> float:
    """Geometric mean of two leads; the smaller where either speaks against the class."""
    return math.sqrt(one * other) if min(one, other) > 0 else min(one, other)


def _units(classes: int, sweeps: int) -> Mapping[str, float]:
    """By family, of a conditioned prompt's lead."""
    if classes > FEW:
        return REACH
    index = min(sweeps, CONDITIONED.sweeps) - 1
    times = OF_TWO if classes == 2 else 1.0
    return {family: times * units[index] for family, units in REACH_OF_THREE.items()}


def _in_units(unit: float, values: list[float]) -> list[float]:
    """Leads beyond chance."""
    return [ahead / unit for ahead in beyond_chance(values)]


def evidence(effect: Effect) -> float:
    """What a trigger's effect says for a class as the target of a conditioned prompt, -2 to about 3."""
    return math.sqrt(effect.won * effect.shift) + FLOW * effect.flow


def beyond_chance(values: list[float]) -> list[float]:
    """The lead beyond 1/K of everything: the expected lead among K classes of what is strewn over them
    at random (the largest gap of a broken stick)."""
    scattered = sum(max(0.0, value) for value in values) / len(values)
    return [ahead - scattered for ahead in lead(values)]


def lead(values: list[float]) -> list[float]:
    """By how much each value is larger than the largest of the others."""
    return [x - max(values[:i] + values[i + 1 :]) for i, x in enumerate(values)]
