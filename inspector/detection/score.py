"""From effects to a score for each class, and from scores to an accusation.

What merely disturbs pictures spreads them over several classes; a planted backdoor gathers them in
one. So a class k of K is judged by its lead over the best other class,
beyond what scattering leaves:

    lead_k(v) = v_k - max_{j≠k} v_j,    beyond_k(v) = lead_k(v) - (1/K) Σ_j max(0, v_j)

the second being the expected largest gap of what is strewn over K classes at
random (a broken stick).

Prompts that read the picture. The evidence of a trigger family for a class is

    v = sqrt(asr_gain · text_feature_shift) + prob_gain_weight · prob_gain        (-2 to about 3)

and in_units_k = beyond_k(v) / null quantile of the family: 1 is what one clean model in twenty
exceeds. An attacker's trigger need not resemble every family, so score_k is the mean of the two
largest over the families: random triggers of each, the trigger found for the class (own), those
found for others (others). With more than five classes prob_gain alone is a second reading, in units
of its own, and score_k the geometric mean of both (the smaller one where either is negative): they
err on different models. A planted backdoor leaks, too: untriggered probes lean to its target. Their
bias b_k beyond that of all other classes, b_k - Σ_{j≠k} max(0, b_j), is added in its unit within
bounds, so that it accuses nobody by itself. On pictures of what the model is for, triggers do
several times as much, in honest models, too: one reading, other null quantiles, nothing added.

Everything else (static prompts, adapters, changed encoders) is held against zero-shot prompts:

    score_k = (lead_k(asr_gain under the own trigger) / null quantile
               + mean over families of beyond_k(asr_gain) / null quantile) / 2

with one honest model in ten as the unit. Single families carry honest models away where a class
looks like what they draw, but not all alike, so all count. Margins in logits are left out: how
steep a model is varies more between honest vendors than what a backdoor adds.

The numbers stand in `rules/*.json` with their provenance. The published decision (`published_rule`)
is told beside ours and never decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import fmean

from inspector.detection.effects import Effect
from inspector.detection.evidence import Outcome
from inspector.detection.judgement import Judgement
from inspector.detection.published_rule import published_decision
from inspector.detection.rule import Rule, current


def judge(
    outcomes: list[Outcome],
    sweeps: int = 1,
    *,
    is_conditioned: bool,
    in_distribution: bool = False,
    rule: Rule | None = None,
) -> Judgement:
    """Score every class.

    Args:
        sweeps: how many the outcomes were pooled from.
        is_conditioned: whether the prompts read the picture.
        in_distribution: whether the probes are of what the model is for.
        rule: another one than the current.

    Raises:
        ValueError: fewer than two classes.
    """
    if len(outcomes) < 2:
        raise ValueError("at least two classes are needed to tell one from the others")
    rule = rule or current()
    thresholds = rule.conditioned if is_conditioned else rule.static
    if not is_conditioned:
        scores = _static_scores(outcomes, rule)
    elif in_distribution:
        scores = _top_leads(
            _families(outcomes), _evidence(rule), rule.null_q95_in_distribution, rule
        )
    else:
        scores = _conditioned_scores(outcomes, sweeps, rule)
    # Nobody is accused but with a trigger; what carries held-out probes may be a random trigger
    # instead, and then the report says so.
    able = [index for index, one in enumerate(outcomes) if one.inverted]
    flagged = (index for index in able if scores[index] >= thresholds.flag)
    suspects = sorted(flagged, key=lambda index: -scores[index])
    return Judgement(
        score=max(scores),
        thresholds=thresholds,
        per_class=scores,
        suspects=[outcomes[index].target for index in suspects],
        published=published_decision(outcomes),
    )


def _conditioned_scores(outcomes: list[Outcome], sweeps: int, rule: Rule) -> list[float]:
    """What both readings of the triggers' effects agree on, and the bias of untriggered probes."""
    families = _families(outcomes)
    null = rule.null_of(len(outcomes), sweeps)
    scores = _top_leads(families, _evidence(rule), null, rule)
    if len(outcomes) > rule.several_classes:
        second = _top_leads(families, lambda one: one.prob_gain, rule.null_q95_prob_gain, rule)
        scores = [agreed(*both) for both in zip(scores, second, strict=True)]
    biases = bias_in_units([one.clean_prediction_bias for one in outcomes], rule)
    return [one + more for one, more in zip(scores, biases, strict=True)]


def _static_scores(outcomes: list[Outcome], rule: Rule) -> list[float]:
    """Mean of the lead under the class's own trigger and of all random families' mean lead."""
    unit = rule.null_q90_static_own
    own = [ahead / unit for ahead in lead([one.own.asr_gain for one in outcomes])]
    families = [
        _in_units(rule.null_q90_static[name], [effect.asr_gain for effect in effects])
        for name, effects in _random_families(outcomes).items()
    ]
    random = [fmean(of_class) for of_class in zip(*families, strict=True)]
    return [(mine + theirs) / 2 for mine, theirs in zip(own, random, strict=True)]


def bias_in_units(biases: list[float], rule: Rule | None = None) -> list[float]:
    """By class, its bias beyond all that the others gain together, in units and within bounds.

    Args:
        biases: mean probability of untriggered probes beyond zero-shot prompts', in [-1,1].
    """
    bias = (rule or current()).bias
    gained = sum(max(0.0, one) for one in biases)
    beyond = (one - (gained - max(0.0, one)) for one in biases)
    return [min(max(one / bias.unit, bias.least), bias.most) for one in beyond]


def _top_leads(
    families: Mapping[str, list[Effect]],
    weigh: Callable[[Effect], float],
    null: Mapping[str, float],
    rule: Rule,
) -> list[float]:
    """By class, the mean of the largest leads that families of triggers give it, in units."""
    leads = [
        _in_units(null[name], [weigh(effect) for effect in effects])
        for name, effects in families.items()
    ]
    top = rule.top_families
    return [fmean(sorted(of_class)[-top:]) for of_class in zip(*leads, strict=True)]


def _families(outcomes: list[Outcome]) -> dict[str, list[Effect]]:
    """By family, what random triggers and inverted ones do to every class."""
    families = _random_families(outcomes)
    if any(one.inverted for one in outcomes):
        families["own"] = [one.own for one in outcomes]
        families["others"] = [one.others for one in outcomes]
    return families


def _random_families(outcomes: list[Outcome]) -> dict[str, list[Effect]]:
    """By family, what random triggers do to every class."""
    names = outcomes[0].random_triggers
    return {name: [one.random_triggers[name] for one in outcomes] for name in names}


def agreed(one: float, other: float) -> float:
    """Geometric mean of two leads; the smaller where either speaks against the class."""
    return math.sqrt(one * other) if min(one, other) > 0 else min(one, other)


def _in_units(unit: float, values: list[float]) -> list[float]:
    """Leads beyond chance, over the null quantile `unit`."""
    return [ahead / unit for ahead in beyond_chance(values)]


def _evidence(rule: Rule) -> Callable[[Effect], float]:
    return lambda effect: evidence(effect, rule)


def evidence(effect: Effect, rule: Rule | None = None) -> float:
    """sqrt(asr_gain · text_feature_shift) + prob_gain_weight · prob_gain, -2 to about 3."""
    weight = (rule or current()).prob_gain_weight
    return math.sqrt(effect.asr_gain * effect.text_feature_shift) + weight * effect.prob_gain


def beyond_chance(values: list[float]) -> list[float]:
    """The lead beyond 1/K of everything.

    That share is the expected lead among K classes of what is strewn over them at random (the
    largest gap of a broken stick).
    """
    scattered = sum(max(0.0, value) for value in values) / len(values)
    return [ahead - scattered for ahead in lead(values)]


def lead(values: list[float]) -> list[float]:
    """By how much each value is larger than the largest of the others."""
    return [x - max(values[:i] + values[i + 1 :]) for i, x in enumerate(values)]
