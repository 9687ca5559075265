"""Once or twice, and what two searches both show; thresholds with a bank and without."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.detection import twin_test
from inspector.detection.contrast import Effort
from inspector.detection.excess import Excess
from inspector.detection.judgement import Judgement
from inspector.detection.pools import Pools
from inspector.detection.random_reading import LEADING, RandomReading
from inspector.detection.random_triggers import SHARES
from inspector.detection.reading import Found, Reading, Search
from inspector.detection.spaces import Blend, Mask
from inspector.detection.twin_test import (
    DEMONSTRATED,
    NOTICEABLE,
    OPEN,
    RANDOM_WEIGHT,
    UNHEARD_OF,
    TwinTest,
    joined,
    thresholds_of,
)
from inspector.errors import BudgetExceeded
from inspector.profiles import FEW_CLASSES
from inspector.progress import Meter

NAMES = ["red circle", "blue square", "green ring"]
SEARCH = Search((Blend(), Mask()), 3, 6, Effort(1, trial=1, steps=2, finalists=3, batch=2))


@pytest.fixture(scope="module")
def learner() -> Classifier:
    generator = torch.Generator().manual_seed(1)
    backbone: Backbone = load_backbone("pocket")
    made = new_learner(backbone, NAMES, conditioned=True, generator=generator)
    return made.requires_grad_(False)


def pools(size: int) -> Pools:
    shown = torch.rand(24, 3, size, size, generator=torch.Generator().manual_seed(3))
    return Pools(shown[:12], shown[12:])


def test_of(learner: Classifier, seed: int = 0) -> TwinTest:
    shown = pools(learner.backbone.image_size)
    return TwinTest(learner, shown, SEARCH, seed, thresholds_of(None, FEW_CLASSES + 1))


test_of.__test__ = False  # type: ignore[attr-defined]


def reading(*values: tuple[int, float]) -> Reading:
    """A trigger a class, carrying as much as is said."""
    member = (torch.zeros(3, 48, 48),)

    def found(target: int, value: float) -> Found:
        of = torch.zeros(3).index_fill(0, torch.tensor(target), value)
        return Found(target, Blend(), member, Excess(of, torch.zeros(3), of, of))

    return Reading(0, tuple(found(*one) for one in values), 1.0)


def silent() -> Meter:
    return Meter(lambda _: None, None)


def heard(*values: tuple[int, float]) -> RandomReading:
    """As many triggers as count, each with a lead as large as is said, of three classes."""
    carried = torch.zeros(LEADING, 3)
    for target, value in values:
        carried[:, target] = value * 3 / 2
    return RandomReading({"warp": carried})


SILENT = heard()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[RandomReading]:
    """Readings by random triggers to come; after them silent ones."""
    coming: list[RandomReading] = []
    monkeypatch.setattr(twin_test, "read_random", lambda *_: coming.pop(0) if coming else SILENT)
    return coming


@pytest.fixture
def told(
    monkeypatch: pytest.MonkeyPatch, drawn: list[RandomReading]
) -> Iterator[tuple[list[Reading], list[list[int]]]]:
    """Searches to come, and the classes that were asked for in each; random triggers are silent."""
    coming: list[Reading] = []
    asked: list[list[int]] = []

    def read(
        contrast: object, held_out: object, search: object, targets: list[int], *_: object
    ) -> Reading:
        asked.append(list(targets))
        return coming.pop(0)

    monkeypatch.setattr(twin_test, "read", read)
    yield coming, asked


def test_where_nothing_is_found_one_reading_is_enough(
    learner: Classifier, told: tuple[list[Reading], list[list[int]]]
) -> None:
    coming, asked = told
    coming += [reading((0, 0.1), (1, OPEN - 0.01))]
    judgement = test_of(learner).run([0, 1, 2], silent())
    assert asked == [[0, 1, 2]]
    assert judgement.per_class == pytest.approx([0.1, OPEN - 0.01, 0])
    assert not judgement.warned and judgement.suspects == []


def test_what_one_reading_finds_another_one_must_find_again(
    learner: Classifier, told: tuple[list[Reading], list[list[int]]]
) -> None:
    coming, asked = told
    coming += [reading((0, 0.9), (1, 0.47), (2, 0.3)), reading((0, 0.05), (1, 0.49))]
    test = test_of(learner)
    judgement = test.run([0, 1, 2], silent())
    assert asked == [[0, 1, 2], [0, 1]]
    assert judgement.per_class == pytest.approx([0.05, 0.47, OPEN])
    assert not judgement.warned and judgement.suspects == []
    assert test.ranked(judgement)[0] == 1
    assert [one.searched for one in test.outcomes] == [
        pytest.approx((0.9, 0.05)), pytest.approx((0.47, 0.49)), pytest.approx((0.3,)),
    ]  # fmt: skip


def test_what_random_triggers_carry_is_added_and_read_twice(
    learner: Classifier,
    told: tuple[list[Reading], list[list[int]]],
    drawn: list[RandomReading],
) -> None:
    coming, asked = told
    coming += [reading((1, 0.2)), reading((1, 0.3), (2, 0.1))]
    drawn += [heard((2, 0.2)), heard((2, 0.14))]
    test = test_of(learner)
    judgement = test.run([0, 1, 2], silent())
    assert asked == [[0, 1, 2], [2, 1]]
    assert judgement.per_class == pytest.approx([0, 0.2, RANDOM_WEIGHT * 0.14])
    row = test.outcomes[2].to_json()
    assert row["random_excess"] == pytest.approx([0.2, 0.14])
    assert row["twin_excess"] == pytest.approx([0.0, 0.1])


def test_a_reading_that_speaks_against_a_class_takes_nothing_from_the_other() -> None:
    assert joined(0.4, -0.2) == 0.4 and joined(-0.3, 0.1) == pytest.approx(RANDOM_WEIGHT * 0.1)


def test_a_class_that_random_triggers_carry_is_searched_by_every_space(
    learner: Classifier, drawn: list[RandomReading]
) -> None:
    quick = replace(SEARCH, leading=1, effort=replace(SEARCH.effort, finalists=1))
    for target in range(3):
        drawn.append(heard((target, OPEN / RANDOM_WEIGHT + 0.01)))
        test = TwinTest(
            learner, pools(learner.backbone.image_size), quick, 0, thresholds_of(None, 5)
        )
        test.sweep([0, 1, 2], silent())
        assert set(test.sweeps[0].search.of(target)) == {"blend", "mask"}


def test_a_trigger_that_both_find_accuses(
    learner: Classifier, told: tuple[list[Reading], list[list[int]]]
) -> None:
    coming, _ = told
    coming += [reading((2, 0.7)), reading((2, DEMONSTRATED))]
    test = test_of(learner)
    assert test.run([0, 1, 2], silent()).suspects == [2]
    row = test.outcomes[2].to_json()
    assert row["twin_excess"] == pytest.approx([0.7, DEMONSTRATED]) and row[
        "spaces"
    ] == pytest.approx({"blend": 0.7})
    assert row["excess_asr"] is not None and test.outcomes[0].to_json()["asr"] is None


def test_the_readings_are_the_same_for_a_seed_and_find_other_triggers(learner: Classifier) -> None:
    first, again, other = test_of(learner), test_of(learner), test_of(learner, seed=1)
    for test in (first, again, other):
        test.sweep([0, 1, 2], silent())
        test.sweep([1], silent())

    def members(test: TwinTest, number: int) -> list[torch.Tensor]:
        return [one.member[0] for one in test.sweeps[number].search.found if one.target == 1]

    for number in range(2):
        assert all(map(torch.equal, members(first, number), members(again, number)))
        assert not any(map(torch.equal, members(first, number), members(other, number)))
    assert not any(map(torch.equal, members(first, 0), members(first, 1)))
    assert first.sweeps[1].search.targets == [1]


def test_what_it_will_cost_is_what_it_costs(learner: Classifier) -> None:
    test = test_of(learner)
    expected = test.expected(3)
    before = learner.work.image_forward
    test.sweep([0, 1, 2], silent())
    assert expected.units == len(SHARES) + 2 and expected.seconds > 0
    # The twins were taught before it could be told what a batch takes.
    taught_from = len(test.pools.optimisation)
    assert learner.work.image_forward - before == expected.images - taught_from


def test_a_budget_that_ran_out_is_told(learner: Classifier) -> None:
    test = test_of(learner)
    with pytest.raises(BudgetExceeded):
        test.sweep([0, 1, 2], Meter(lambda _: None, 0.0))
    assert [one.inverted for one in test.outcomes] == [None] * 3


def test_a_bank_sets_the_thresholds_where_it_is_large_enough() -> None:
    of_bank = thresholds_of((0.9, 0.7), 9)
    assert (of_bank.flag, of_bank.warn) == (0.9, 0.7)
    low = thresholds_of((0.1, 0.05), 9)
    assert (low.flag, low.warn) == (NOTICEABLE, NOTICEABLE)
    small, none = thresholds_of((math.inf, 0.7), 9), thresholds_of(None, 9)
    assert (small.flag, small.warn) == (math.inf, 0.7)
    assert (none.flag, none.warn) == (math.inf, UNHEARD_OF) and OPEN < NOTICEABLE < UNHEARD_OF


def test_a_repaired_copy_must_be_quieter_where_there_is_no_bank() -> None:
    def is_calm(score: float, bank: tuple[float, float] | None) -> bool:
        return Judgement(score, thresholds_of(bank, 9), [score], [], None).is_calm

    assert is_calm(NOTICEABLE - 0.01, None) and not is_calm(NOTICEABLE, None)
    assert is_calm(0.69, (0.9, 0.7)) and not is_calm(0.7, (0.9, 0.7))


@pytest.mark.parametrize(
    ("second", "classes", "bank", "suspects"),
    [
        (DEMONSTRATED, FEW_CLASSES + 1, None, [2]),
        (DEMONSTRATED - 0.01, FEW_CLASSES + 1, None, []),
        (DEMONSTRATED, FEW_CLASSES, None, []),
        (DEMONSTRATED, FEW_CLASSES + 1, (0.8, 0.8), []),
        (0.8, FEW_CLASSES, (0.8, 0.8), [2]),
    ],
)
def test_what_two_searches_show_is_evidence_only_where_no_bank_is(
    learner: Classifier,
    told: tuple[list[Reading], list[list[int]]],
    second: float,
    classes: int,
    bank: tuple[float, float] | None,
    suspects: list[int],
) -> None:
    coming, _ = told
    coming += [reading((2, 0.9)), reading((2, second))]
    shown = pools(learner.backbone.image_size)
    test = TwinTest(learner, shown, SEARCH, 0, thresholds_of(bank, classes))
    assert test.run([0, 1, 2], silent()).suspects == suspects
