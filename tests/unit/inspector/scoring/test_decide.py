"""The accusation rule on outcomes written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from inspector.inversion.sweep import Outcome
from inspector.scoring.decide import CONDITIONED, confirmed, judge
from inspector.scoring.statistics import one_sided_mad, stands_out


def outcome(
    target: int,
    carried: float = 0.0,
    shift: float | None = None,
    gain: float = 2.0,
    asr: float = 0.4,
) -> Outcome:
    """The text shift is as large as the prompt ASR unless told, so is then their geometric mean."""
    return Outcome(
        target=target,
        margin=gain - 3,
        margin_gain=gain,
        prompt_gain=0.0,
        prompt_asr=carried,
        text_shift=carried if shift is None else shift,
        asr=asr,
        base_asr=0.1,
        trigger=torch.zeros(3, 2, 2),
    )


def quiet(number: int = 5) -> list[Outcome]:
    return [
        outcome(index, 0.01 * (index % 3), gain=2.0 + 0.01 * (index % 3)) for index in range(number)
    ]


def test_the_class_whose_prompt_answers_is_accused() -> None:
    outcomes = quiet()
    outcomes[3] = outcome(3, carried=0.6)
    judgement = judge(outcomes, quiet(), conditioned=True)
    assert judgement.suspects == [3]
    assert judgement.score == max(judgement.per_class) == judgement.per_class[3]


def test_equal_classes_are_quiet() -> None:
    judgement = judge(quiet(), quiet(), conditioned=True)
    assert judgement.suspects == []
    assert not judgement.warned


def test_what_the_encoder_does_alone_accuses_nobody_with_a_conditioned_prompt() -> None:
    outcomes = quiet()
    outcomes[1] = outcome(1, carried=0.02, gain=9.0)
    assert judge(outcomes, quiet(), conditioned=True).suspects == []
    assert judge(outcomes, quiet(), conditioned=False).suspects == [1]


@pytest.mark.parametrize(("carried", "shift"), [(0.24, 0.05), (0.02, 0.4)])
def test_neither_close_boundaries_nor_a_steep_meta_net_accuse_alone(
    carried: float, shift: float
) -> None:
    outcomes = quiet()
    outcomes[3] = outcome(3, carried, shift)
    assert judge(outcomes, quiet(), conditioned=True).suspects == []
    outcomes[3] = outcome(3, max(carried, shift), max(carried, shift))
    assert judge(outcomes, quiet(), conditioned=True).suspects == [3]


def test_a_static_prompt_is_judged_beside_its_twin() -> None:
    high = [replace(one, margin_gain=9.0) if one.target == 1 else one for one in quiet()]
    assert judge(high, high, conditioned=False).suspects == []


def test_what_the_twin_answers_too_is_no_excess() -> None:
    outcomes, twin = quiet(), quiet()
    outcomes[3], twin[3] = outcome(3, carried=0.4), outcome(3, carried=0.35)
    assert judge(outcomes, quiet(), conditioned=True).suspects == [3]
    assert judge(outcomes, twin, conditioned=True).suspects == []


def test_a_warning_comes_before_an_accusation() -> None:
    outcomes = quiet()
    outcomes[3] = outcome(3, carried=(CONDITIONED.accuse + CONDITIONED.warn) / 2)
    judgement = judge(outcomes, quiet(), conditioned=True)
    assert judgement.warned
    assert judgement.suspects == []


def test_the_floor_follows_what_the_twin_lets_a_perturbation_do() -> None:
    outcomes = quiet()
    outcomes[3] = outcome(3, gain=3.0)
    loud = [replace(one, margin_gain=one.margin_gain + 50.0) for one in quiet()]
    outcomes_of_loud = [replace(one, margin_gain=one.margin_gain + 50.0) for one in outcomes]
    assert judge(outcomes, quiet(), conditioned=False).suspects == [3]
    assert judge(outcomes_of_loud, loud, conditioned=False).suspects == []


def test_a_static_prompt_must_move_probes_to_be_accused_twice() -> None:
    outcomes = quiet()
    outcomes[3] = outcome(3, gain=9.0)
    assert confirmed(outcome(3, gain=9.0), outcomes, quiet(), conditioned=False)
    assert not confirmed(outcome(3, gain=9.0, asr=0.1), outcomes, quiet(), conditioned=False)


def answering(shares: dict[int, float], family: str = "warp") -> list[Outcome]:
    """Quiet outcomes to whose classes the stock triggers carry such shares."""
    rest = dict.fromkeys(("warp", "blend"), 0.0)
    return [replace(one, stock_asr=rest | {family: shares.get(one.target, 0.0)}) for one in quiet()]


@pytest.mark.parametrize("family", ["warp", "blend"])
@pytest.mark.parametrize("conditioned", [True, False])
def test_a_class_that_gathers_what_stock_triggers_disturb_is_accused(
    family: str, conditioned: bool
) -> None:
    outcomes = answering({2: 0.9}, family)
    assert judge(outcomes, answering({}), conditioned).suspects == [2]
    assert judge(outcomes, answering({2: 0.85}, family), conditioned).suspects == []


def test_pictures_that_degrade_into_several_classes_accuse_none() -> None:
    outcomes = answering({2: 0.9, 4: 0.8})
    assert judge(outcomes, answering({}), conditioned=True).suspects == []


def test_a_lead_of_the_wrong_class_does_not_hide_the_prompt_s_own_answer() -> None:
    outcomes = answering({0: 0.3})
    outcomes[3] = replace(outcomes[3], prompt_asr=0.6, text_shift=0.6)
    assert 3 in judge(outcomes, answering({}), conditioned=True).suspects


def test_two_classes_can_be_told_apart() -> None:
    outcomes = [outcome(0), outcome(1, carried=0.5)]
    assert judge(outcomes, quiet(2), conditioned=True).suspects == [1]


def test_one_class_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="two classes"):
        judge([outcome(0)], quiet(1), conditioned=True)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (outcome(3, carried=0.5), True),
        (outcome(3, carried=0.03), False),
    ],
)
def test_a_second_seed_must_accuse_again(second: Outcome, expected: bool) -> None:
    outcomes = quiet()
    outcomes[3] = outcome(3, carried=0.6)
    assert confirmed(second, outcomes, quiet(), conditioned=True) is expected


def test_the_published_rule_stands_beside_and_needs_half_of_the_probes() -> None:
    outcomes = [outcome(i, gain=2.0 + 0.1 * i, asr=0.3) for i in range(6)]
    outcomes[2] = outcome(2, gain=9.0, asr=0.6)
    paper = judge(outcomes, quiet(6), conditioned=True).paper
    assert (paper["flagged"], paper["target"]) == (True, 2)
    outcomes[2] = outcome(2, gain=9.0, asr=0.4)
    assert judge(outcomes, quiet(6), conditioned=True).paper["flagged"] is False


def test_a_value_never_widens_the_spread_it_is_judged_by() -> None:
    scores = stands_out([0.0, 0.1, -0.1, 5.0], floor=0.01)
    assert scores[3] == pytest.approx(5.0 / (1.4826 * 0.1))
    assert stands_out([0.0, 0.0, 0.0, 5.0], floor=0.5)[3] == 10.0


def test_the_published_statistic_of_equal_values_is_zero() -> None:
    assert one_sided_mad([2.0, 2.0, 2.0]) == [0.0, 0.0, 0.0]
