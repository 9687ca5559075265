"""Draws: nested, the same for every method, half attacks that took, spread over the plan."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.exam.draw import draw, order
from tests.exam.rows import Key, key_of
from tests.unit.exam.making import planned
from tests.zoo.build import COCOOP
from tests.zoo.sets import BACKBONES, LARGE, RENDERED, Model

EXAM = planned("exam")


def outcomes(seed: int) -> dict[Key, bool]:
    chance = random.Random(seed)
    return {key_of(model): chance.random() < 0.6 for model in EXAM if model.is_backdoored}


def test_an_order_is_one_of_all_models() -> None:
    assert sorted(map(key_of, order(frozenset(EXAM)))) == sorted(map(key_of, EXAM))


@pytest.mark.parametrize("seed", range(3))
def test_smaller_draws_lie_in_larger_ones(seed: int) -> None:
    took = outcomes(seed)
    small, large = (set(draw(EXAM, took, number).models) for number in (20, 60))
    assert small < large and (len(small), len(large)) == (20, 60)


def test_half_are_attacks_that_took_and_half_are_honest() -> None:
    took = outcomes(0)
    models = draw(EXAM, took, 60).models
    attacks = [model for model in models if model.is_backdoored]
    assert len(attacks) == 30 and all(took[key_of(model)] for model in attacks)


def test_sixty_are_spread_over_backbones_families_kinds_and_tasks() -> None:
    models = draw(EXAM, outcomes(0), 60).models
    sizes = Counter(model.backbone for model in EXAM)
    for backbone in BACKBONES:
        number = sum(model.backbone == backbone for model in models)
        assert number == pytest.approx(60 * sizes[backbone] / len(EXAM), abs=3)
    assert any(model.family != COCOOP for model in models)
    for is_backdoored in (True, False):
        side = [model for model in models if model.is_backdoored == is_backdoored]
        assert max(Counter(model.kind for model in side).values()) <= 3
        assert {model.task for model in side} >= set(RENDERED["exam"])
    assert LARGE not in {model.task for model in models}


def test_nothing_is_drawn_that_might_have_to_give_way() -> None:
    """As attacks are built one by one, the draw only grows."""
    took, known = outcomes(0), dict[Key, bool]()
    before: set[Model] = set()
    full = set(draw(EXAM, took, 40).models)
    for key in random.Random(2).sample(sorted(took), len(took)):
        known[key] = took[key]
        now = draw(EXAM, known, 40)
        assert before <= set(now.models) <= full
        assert len(now.models) + len(now.open) == 40
        before = set(now.models)
    assert before == full and not now.open


def test_a_set_of_honest_models_is_drawn_in_full_number() -> None:
    models = draw(planned("bank"), {}, 20).models
    assert len(models) == 20 and not any(model.is_backdoored for model in models)
