"""Sweeping until the rule has seen enough, on a tiny random backbone."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.detection import sequential
from inspector.detection.cost import images_of_sweep
from inspector.detection.evidence import Outcome, Sweep, pooled
from inspector.detection.inversion import SearchConfig
from inspector.detection.judgement import Judgement
from inspector.detection.pools import Pools
from inspector.detection.rule import current
from inspector.detection.score import judge
from inspector.detection.sequential import CONTENDERS, SequentialTest
from inspector.detection.sweep import CleanProbes, encode_probes, screen
from inspector.errors import BudgetExceeded
from inspector.progress import Meter

NAMES = ["red circle", "blue star", "green square", "black cross"]
CONFIG = SearchConfig(
    epsilon=0.05, batch=4, objective="prompt", images=4, num_eval=4, trigger_splits=2
)
METER = Meter(lambda _: None, None)
OPEN = replace(current().conditioned, stop_clean=-1e9, stop_flag=1e9)


@pytest.fixture
def made(vit: Backbone) -> tuple[Classifier, Pools]:
    generator = torch.Generator().manual_seed(3)
    learner = new_learner(vit, NAMES, conditioned=True, generator=generator)
    size = vit.image_size
    pixels = torch.rand(24, 3, size, size, generator=torch.Generator().manual_seed(1))
    return learner.requires_grad_(False), Pools(pixels[:8], pixels[8:])


def test_doubt_is_followed_by_sweeps_of_the_contenders_and_the_judge_knows_how_many(
    made: tuple[Classifier, Pools], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def spy(outcomes: list[Outcome], sweeps: int, **probes: Any) -> Judgement:
        counts.append(sweeps)
        return replace(judge(outcomes, sweeps, **probes), thresholds=OPEN)

    monkeypatch.setattr(sequential, "judge", spy)
    done = SequentialTest(*made, CONFIG, seed=5)
    done.run([0, 1, 2, 3], METER)
    assert counts == [1, 2, 3]
    assert [len(sweep.found) for sweep in done.sweeps] == [4, CONTENDERS, CONTENDERS]


def test_every_sweep_has_its_own_triggers_and_its_own_probes(
    made: tuple[Classifier, Pools], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, drawn = [], []

    def begun(classifier: Classifier, pools: Pools, config: SearchConfig) -> CleanProbes:
        start = encode_probes(classifier, pools, config)
        judged.append(start.baseline.pixels)
        return start

    def screened(*asked: Any) -> Sweep:
        drawn.append(asked[4])
        return screen(*asked)

    monkeypatch.setattr(sequential, "encode_probes", begun)
    monkeypatch.setattr(sequential, "screen", screened)
    done = SequentialTest(*made, CONFIG, seed=5)
    for _ in range(3):
        done.sweep([0, 1, 2, 3], METER)
    assert drawn == [5, 6, 7]
    assert not any(torch.equal(a, b) for a, b in combinations(judged, 2))


def test_what_is_known_of_the_first_probes_is_not_looked_at_again(
    made: tuple[Classifier, Pools],
) -> None:
    classifier, pools = made
    start = encode_probes(classifier, pools, CONFIG)
    before = classifier.work.image_forward
    known = SequentialTest(classifier, pools, CONFIG, 5, start)
    known.sweep([1], METER)
    between = classifier.work.image_forward
    alone = SequentialTest(classifier, pools, CONFIG, 5)
    alone.sweep([1], METER)
    spared = (classifier.work.image_forward - between) - (between - before)
    assert spared == len(start.features) == 12
    assert known.outcomes[0].own == alone.outcomes[0].own


def test_with_a_race_the_leading_classes_alone_are_searched_in_pixels(
    made: tuple[Classifier, Pools],
) -> None:
    raced = replace(CONFIG, max_inverted_classes=2)
    done = SequentialTest(*made, raced, seed=5)
    before = done.classifier.work.image_forward
    done.sweep([0, 1, 2, 3], METER)
    images = done.classifier.work.image_forward - before
    assert images == 12 + images_of_sweep(raced, made[1], 4)
    (sweep,) = done.sweeps
    screened = judge(pooled([replace(sweep, found=[])]), is_conditioned=True).per_class
    first, second, *_ = sorted(range(4), key=lambda index: -screened[index])
    assert [one.target for one in sweep.found] == [first, second]
    assert done.targets == [0, 1, 2, 3]
    searched = [one.target for one in done.outcomes if one.inverted]
    assert searched == sorted([first, second])
    everywhere = SequentialTest(*made, replace(raced, max_inverted_classes=None), seed=5)
    everywhere.sweep([0, 1, 2, 3], METER)
    assert [one.random_triggers for one in everywhere.outcomes] == [
        one.random_triggers for one in done.outcomes
    ]
    assert everywhere.outcomes[first].own == done.outcomes[first].own


@pytest.mark.parametrize(("seconds", "found"), [(-0.5, 0), (0.5, 1)])
def test_what_was_screened_and_found_stays_when_the_time_runs_out(
    made: tuple[Classifier, Pools], monkeypatch: pytest.MonkeyPatch, seconds: float, found: int
) -> None:
    passed = iter(range(100))
    monkeypatch.setattr(Meter, "seconds", property(lambda _: float(next(passed))))
    done = SequentialTest(*made, replace(CONFIG, max_inverted_classes=2), seed=5)
    with pytest.raises(BudgetExceeded):
        done.sweep([0, 1, 2, 3], Meter(lambda _: None, budget_s=seconds))
    assert done.targets == [0, 1, 2, 3]
    assert sum(one.inverted is not None for one in done.outcomes) == found
