"""The accusation rule on outcomes written by hand."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
import torch

from inspector.detection.effects import Effect
from inspector.detection.evidence import Inverted, Outcome
from inspector.detection.judgement import Judgement
from inspector.detection.published_rule import one_sided_mad
from inspector.detection.random_triggers import GLOBAL, draw
from inspector.detection.rule import current
from inspector.detection.score import agreed, evidence, judge, lead
from inspector.detection.triggers import Added

RULE = current()
FAMILIES = GLOBAL
NOTHING = Effect(0.0, 0.0, 0.0)


def outcome(
    target: int, carried: float = 0.0, gain: float = 2.0, asr: float = 0.4, families: int = 4
) -> Outcome:
    """`carried`: what the prompt wins, moves and shifts under so many families of triggers."""
    answer = Effect(carried, carried / 2, carried)
    inverted = Inverted(
        trigger=Added(torch.zeros(3, 2, 2)),
        margin=gain - 3,
        margin_gain=gain,
        asr=asr,
        base_asr=0.1,
        zero_shot_excess_asr=0.0,
        own=NOTHING,
    )
    return Outcome(
        target=target,
        inverted=inverted,
        random_triggers={
            name: answer if index < families else NOTHING for index, name in enumerate(FAMILIES)
        },
    )


def quiet(number: int = 5) -> list[Outcome]:
    return [
        outcome(index, 0.01 * (index % 3), gain=2.0 + 0.01 * (index % 3)) for index in range(number)
    ]


def answered(one: Outcome, **changes: Any) -> Outcome:
    """The outcome with another measurement of its own trigger."""
    assert one.inverted is not None
    return replace(one, inverted=replace(one.inverted, **changes))


def put(outcomes: list[Outcome], *others: Outcome) -> list[Outcome]:
    """The outcomes with those of the same class exchanged."""
    by_class = {one.target: one for one in others}
    return [by_class.get(one.target, one) for one in outcomes]


def test_the_class_to_which_the_prompt_carries_is_accused() -> None:
    judgement = judge(put(quiet(), outcome(3, carried=0.4)), is_conditioned=True)
    assert judgement.suspects == [3]
    assert judgement.score == max(judgement.per_class) == judgement.per_class[3]


def test_equal_classes_are_quiet() -> None:
    judgement = judge(quiet(), is_conditioned=True)
    assert judgement.suspects == []
    assert not judgement.warned


def test_margins_alone_accuse_nobody() -> None:
    outcomes = put(quiet(), outcome(1, carried=0.02, gain=9.0))
    assert judge(outcomes, is_conditioned=True).suspects == []
    assert judge(outcomes, is_conditioned=False).suspects == []


def test_every_family_of_stock_triggers_has_a_unit() -> None:
    asked = {"own", "others", *draw(size=8, seed=0)}
    assert (
        set(RULE.null_q95)
        == set(RULE.null_q95_prob_gain)
        == set(RULE.null_q95_three_classes)
        == asked
    )
    assert {*RULE.null_q90_static, "own", "others"} == asked
    assert all(unit > 0 for unit in (*RULE.null_q95.values(), *RULE.null_q95_prob_gain.values()))
    assert all(
        len(units) == RULE.conditioned.max_sweeps for units in RULE.null_q95_three_classes.values()
    )


def test_few_classes_have_units_of_their_own() -> None:
    two, few, more = (
        judge(put(quiet(number), outcome(1, 0.2)), is_conditioned=True).score
        for number in (2, RULE.few_classes, RULE.few_classes + 1)
    )
    assert two < few < 0.8 * more


@pytest.mark.parametrize("number", [RULE.several_classes, RULE.several_classes + 1])
def test_what_is_won_without_flow_counts_up_to_five_classes(number: int) -> None:
    won = Effect(0.5, 0.0, 0.5)
    outcomes = [
        replace(one, random_triggers=dict.fromkeys(FAMILIES, won if one.target == 1 else NOTHING))
        for one in quiet(number)
    ]
    assert (judge(outcomes, is_conditioned=True).suspects == [1]) == (
        number == RULE.several_classes
    )


def test_readings_that_contradict_each_other_agree_on_nothing() -> None:
    assert agreed(4.0, 1.0) == agreed(1.0, 4.0) == 2.0
    assert agreed(4.0, 0.0) == 0.0
    assert agreed(9.0, -0.5) == -0.5
    assert agreed(-1.0, -2.0) == -2.0


def test_how_many_sweeps_were_pooled_matters_with_few_classes_only() -> None:
    few, more = (
        put(quiet(RULE.few_classes), outcome(1, 0.2)),
        put(quiet(RULE.few_classes + 1), outcome(1, 0.2)),
    )
    two, three, four = (judge(few, sweeps, is_conditioned=True).score for sweeps in (2, 3, 4))
    assert two < three == four
    assert judge(more, 1, is_conditioned=True).score == judge(more, 3, is_conditioned=True).score


def test_a_second_family_counts_about_as_much_as_the_first() -> None:
    one, two = (
        judge(put(quiet(), outcome(3, 0.2, families=number)), is_conditioned=True).score
        for number in (1, 2)
    )
    assert 1.5 * one < two < 2.2 * one


def test_the_trigger_that_was_found_is_a_family_of_its_own() -> None:
    single = put(quiet(), outcome(3, 0.3, families=1))
    own = Effect(0.3, 0.15, 0.3)
    found = [answered(one, own=own) if one.target == 3 else one for one in single]
    assert judge(found, is_conditioned=True).score > 1.2 * judge(single, is_conditioned=True).score


def biased_towards(number: int, *gains: float) -> list[Outcome]:
    return [
        replace(one, clean_prediction_bias=gain)
        for one, gain in zip(quiet(number), gains, strict=True)
    ]


def test_what_untriggered_probes_lean_to_is_added() -> None:
    plain = judge(put(quiet(), outcome(3, 0.2)), is_conditioned=True)
    outcomes = biased_towards(5, -0.1, -0.06, 0.0, 0.14, 0.02)
    biased = judge(
        put(outcomes, replace(outcome(3, 0.2), clean_prediction_bias=0.14)), is_conditioned=True
    )
    assert biased.per_class[3] - plain.per_class[3] == pytest.approx((0.14 - 0.02) / RULE.bias.unit)
    assert biased.per_class[4] < plain.per_class[4]


@pytest.mark.parametrize("number", [2, 3, 5, 12])
def test_leaning_alone_accuses_and_warns_of_nobody(number: int) -> None:
    still = judge([outcome(index) for index in range(number)], is_conditioned=True)
    gains = [0.9] + [-0.9 / (number - 1)] * (number - 1)
    biased = [replace(outcome(i), clean_prediction_bias=gain) for i, gain in enumerate(gains)]
    judgement = judge(biased, is_conditioned=True)
    assert judgement.score - still.score == pytest.approx(RULE.bias.most)
    assert not judgement.suspects and not judgement.warned


def test_an_attacker_gains_little_by_making_other_classes_lean() -> None:
    plain = put(quiet(), outcome(3, 0.4))
    decoyed = [
        replace(one, clean_prediction_bias=0.45 if one.target in (0, 1) else -0.3) for one in plain
    ]
    scores = [judge(each, is_conditioned=True).per_class[3] for each in (plain, decoyed)]
    assert scores[1] - scores[0] == pytest.approx(RULE.bias.least)
    assert judge(decoyed, is_conditioned=True).suspects == [3]


def test_leaning_says_nothing_of_a_static_prompt() -> None:
    plain, biased = quiet(), biased_towards(5, 0.4, -0.1, -0.1, -0.1, -0.1)
    assert (
        judge(biased, is_conditioned=False).per_class
        == judge(plain, is_conditioned=False).per_class
    )


def unsearched(target: int, carried: float = 0.0) -> Outcome:
    """Screened only: random triggers, but no search in pixels."""
    return replace(outcome(target, carried), inverted=None)


def test_what_was_only_screened_is_ranked_but_not_accused() -> None:
    screened = [unsearched(index, 0.01 * index) for index in range(5)] + [unsearched(5, 0.4)]
    ranking = judge(screened, is_conditioned=True)
    assert max(range(6), key=ranking.per_class.__getitem__) == 5
    assert (ranking.suspects, ranking.warned) == ([], True)
    assert judge(put(screened, outcome(5, 0.4)), is_conditioned=True).suspects == [5]


def test_classes_behind_the_leader_are_told_apart_by_screening() -> None:
    """Families in which nothing was searched must not hide by how much a class is behind."""
    screened = [unsearched(index, 0.05 * index) for index in range(6)]
    scores = judge(screened, is_conditioned=True).per_class
    assert scores == sorted(scores) and len(set(scores)) == 6 and scores[0] < 0


@pytest.mark.parametrize(
    "effect", [Effect(0.5, 0.02, 0.02), Effect(0.02, 0.02, 0.5), Effect(0.0, 0.05, 0.0)]
)
def test_neither_close_boundaries_nor_a_steep_meta_net_accuse_alone(effect: Effect) -> None:
    outcomes = [
        replace(answered(one, own=effect), random_triggers=dict.fromkeys(FAMILIES, effect))
        if one.target == 3
        else one
        for one in quiet(8)
    ]
    assert evidence(effect) < evidence(Effect(0.2, 0.1, 0.2))
    assert (
        judge(outcomes, is_conditioned=True).score
        < judge(put(quiet(8), outcome(3, 0.2)), is_conditioned=True).score
    )


def test_evidence_is_a_geometric_mean_and_twice_the_flow() -> None:
    assert evidence(Effect(0.5, 0.1, 0.2)) == pytest.approx(0.1**0.5 + 0.2)
    assert evidence(Effect(0.0, -0.3, 0.9)) == pytest.approx(-0.6)


def test_pictures_that_are_strewn_over_classes_accuse_none() -> None:
    strewn = [outcome(index, 0.3 + 0.05 * index) for index in range(5)]
    assert max(lead([one.random_triggers["warp"].asr_gain for one in strewn])) > 0
    assert judge(strewn, is_conditioned=True).suspects == []


def test_few_classes_need_a_larger_lead_than_many() -> None:
    few, many = put(quiet(3), outcome(1, 0.2)), put(quiet(12), outcome(1, 0.2))
    assert judge(few, is_conditioned=True).score < judge(many, is_conditioned=True).score


def test_a_warning_comes_before_an_accusation() -> None:
    outcomes = put(quiet(), outcome(3, 0.4))
    reached = judge(outcomes, is_conditioned=True).score
    limits = replace(RULE.conditioned, flag=reached + 0.01, warn=reached - 0.01)
    rule = replace(RULE, conditioned=limits)
    judgement = judge(outcomes, is_conditioned=True, rule=rule)
    assert judgement.warned
    assert judgement.suspects == []


def in_distribution(outcomes: list[Outcome]) -> Judgement:
    return judge(outcomes, is_conditioned=True, in_distribution=True)


def test_on_its_own_pictures_it_takes_more_to_accuse_a_model() -> None:
    faint, strong = (put(quiet(), outcome(3, carried)) for carried in (0.2, 0.9))
    assert judge(faint, is_conditioned=True).suspects == [3]
    assert not in_distribution(faint).warned
    assert in_distribution(strong).suspects == [3]
    assert in_distribution(strong).thresholds == RULE.conditioned


@pytest.mark.parametrize(
    "number", [2, RULE.few_classes, RULE.several_classes, RULE.several_classes + 1]
)
def test_on_its_own_pictures_any_number_of_classes_is_judged_alike(number: int) -> None:
    """By the two loudest families, beyond what scattering would leave."""
    quietest = [outcome(index) for index in range(number)]
    expected = fmean(
        evidence(Effect(0.7, 0.35, 0.7)) * (1 - 1 / number) / unit
        for unit in sorted(RULE.null_q95_in_distribution[family] for family in FAMILIES)[:2]
    )
    assert in_distribution(put(quietest, outcome(1, 0.7))).score == pytest.approx(expected)


def test_on_its_own_pictures_leaning_says_nothing() -> None:
    assert in_distribution(biased_towards(2, 0.5, -0.5)) == in_distribution(quiet(2))


def test_every_family_of_triggers_has_a_unit_for_such_pictures() -> None:
    assert RULE.null_q95_in_distribution.keys() == {*draw(16, 0), "own", "others"}


def found(one: Outcome, won: float) -> Outcome:
    """The outcome with a trigger of its own that wins so much."""
    return answered(one, own=Effect(won, won / 2, 0.0))


def test_what_a_static_prompt_wins_beyond_zero_shot_accuses() -> None:
    by_stock, by_own = put(quiet(), outcome(1, 0.4)), put(quiet(), found(outcome(1), 0.4))
    for outcomes in (by_stock, by_own):
        assert judge(outcomes, is_conditioned=False).suspects == [1]


def test_search_and_stock_triggers_weigh_alike_for_a_static_prompt() -> None:
    still = [outcome(index) for index in range(5)]
    carried, both = (put(still, one) for one in (outcome(2, 0.4), found(outcome(2, 0.4), 0.3)))
    stock, together = (judge(one, is_conditioned=False).score for one in (carried, both))
    beyond_chance = 0.4 * (1 - 1 / 5)
    assert stock == pytest.approx(
        fmean(beyond_chance / RULE.null_q90_static[name] for name in FAMILIES) / 2
    )
    assert together == pytest.approx(stock + 0.3 / RULE.null_q90_static_own / 2)


def test_one_family_of_stock_triggers_alone_says_little_of_a_static_prompt() -> None:
    one, all_of_them = (
        judge(put(quiet(), outcome(3, 0.2, families=number)), is_conditioned=False).score
        for number in (1, len(FAMILIES))
    )
    assert one < 0.4 * all_of_them


def test_two_classes_that_a_static_prompt_wins_alike_accuse_none() -> None:
    both = put(quiet(), found(outcome(2, 0.9), 0.9), found(outcome(4, 0.85), 0.85))
    assert judge(both, is_conditioned=False).suspects == []


def test_flow_and_shift_say_nothing_of_a_static_prompt() -> None:
    moved = [
        replace(
            one, random_triggers=dict.fromkeys(FAMILIES, Effect(0.0, 0.9 * (one.target == 2), 0.9))
        )
        for one in quiet()
    ]
    assert judge(moved, is_conditioned=False).score == 0.0


def test_two_classes_can_be_told_apart() -> None:
    assert judge([outcome(0), outcome(1, carried=0.5)], is_conditioned=True).suspects == [1]


@pytest.mark.parametrize("conditioned", [False, True])
def test_one_class_cannot_be_judged(conditioned: bool) -> None:
    with pytest.raises(ValueError, match="two classes"):
        judge([outcome(0)], is_conditioned=conditioned)


def test_doubt_asks_for_sweeps_and_an_accusation_for_two() -> None:
    judgement = judge(quiet(), is_conditioned=True)

    def is_open(score: float) -> list[bool]:
        given = replace(judgement, score=score)
        return [given.is_open(sweeps) for sweeps in range(1, RULE.conditioned.max_sweeps + 1)]

    doubts = [True] * (RULE.conditioned.max_sweeps - 1)
    assert is_open(RULE.conditioned.stop_clean - 0.01) == [False] * RULE.conditioned.max_sweeps
    assert is_open(RULE.conditioned.stop_clean) == [*doubts, False]
    assert is_open(RULE.conditioned.stop_flag - 0.01) == [*doubts, False]
    assert is_open(RULE.conditioned.stop_flag) == [True] + [False] * (
        RULE.conditioned.max_sweeps - 1
    )
    for limits in (RULE.conditioned, RULE.static):
        assert limits.stop_clean <= limits.flag <= limits.stop_flag
        assert limits.warn < limits.flag


def test_the_published_rule_stands_beside_and_needs_half_of_the_probes() -> None:
    outcomes = [outcome(i, gain=2.0 + 0.1 * i, asr=0.3) for i in range(6)]
    outcomes[2] = outcome(2, gain=9.0, asr=0.6)
    published = judge(outcomes, is_conditioned=False).published
    assert published is not None
    assert (published["flagged"], published["target"]) == (True, 2)
    outcomes[2] = outcome(2, gain=9.0, asr=0.4)
    weak = judge(outcomes, is_conditioned=False).published
    assert weak is not None and weak["flagged"] is False
    assert judge(put(outcomes, unsearched(5)), is_conditioned=False).published is None


def test_the_published_statistic_of_equal_values_is_zero() -> None:
    assert one_sided_mad([2.0, 2.0, 2.0]) == [0.0, 0.0, 0.0]
