"""What a sweep is said to cost, held against what it was counted to cost; and how that grows."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.detection import cost
from inspector.detection.cost import (
    Pace,
    images_of_sweep,
    num_eval_of,
    pace,
    searches_of,
    steps_of,
)
from inspector.detection.inversion import SearchConfig
from inspector.detection.pools import Pools
from inspector.detection.sequential import SequentialTest
from inspector.detection.sweep import encode_probes
from inspector.progress import Meter

NAMES = ["red circle", "blue star", "green square", "black cross"]
CONFIGS = [
    SearchConfig(epsilon=0.05, batch=4),
    SearchConfig(epsilon=0.05, batch=4, epochs=3),
    SearchConfig(epsilon=0.05, batch=4, images=6, num_eval=5),
    SearchConfig(epsilon=0.05, batch=5, images=100, num_eval=100),
    SearchConfig(epsilon=0.05, batch=4, max_inverted_classes=2),
    SearchConfig(epsilon=0.05, batch=4, max_inverted_classes=9, trigger_splits=2),
    SearchConfig(epsilon=0.05, batch=4, local_first=True),
    SearchConfig(epsilon=0.05, batch=4, objective="prompt", images=4, num_eval=4),
]


def pools(backbone: Backbone, search: int = 8, held_out: int = 12) -> Pools:
    size = backbone.image_size
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(search + held_out, 3, size, size, generator=generator)
    return Pools(pixels[:search], pixels[search:])


@pytest.fixture(scope="module")
def learner(vit: Backbone) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    return new_learner(vit, NAMES, conditioned=True, generator=generator).requires_grad_(False)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("targets", [[0, 1, 2, 3], [2]])
def test_the_images_of_a_sweep_are_those_that_it_encodes(
    learner: Classifier, config: SearchConfig, targets: list[int]
) -> None:
    """Exactly: neither more nor fewer."""
    probes = pools(learner.backbone)
    clean = encode_probes(learner, probes, config)
    before = learner.work.image_forward
    backward = learner.work.image_backward
    SequentialTest(learner, probes, config, 5, clean).sweep(targets, Meter(lambda _: None, None))
    # The objective of conditioned prompts looks at its anchors among the clean probes.
    assert learner.work.image_forward - before == images_of_sweep(config, probes, len(targets))
    fitted = config.epochs * min(8, config.images or 8)
    searched = searches_of(config, len(targets))
    assert learner.work.image_backward - backward == fitted * searched


@pytest.mark.parametrize("config", CONFIGS)
def test_more_classes_and_more_probes_never_cost_less(vit: Backbone, config: SearchConfig) -> None:
    by_classes = [images_of_sweep(config, pools(vit), count) for count in range(1, 12)]
    by_search = [images_of_sweep(config, pools(vit, search=n), 4) for n in range(1, 12)]
    by_held_out = [images_of_sweep(config, pools(vit, held_out=n), 4) for n in range(1, 12)]
    for row in (by_classes, by_search, by_held_out):
        assert row == sorted(row)
        assert row[-1] > row[0]
    if config.max_inverted_classes is None:
        assert all(later > earlier for earlier, later in pairwise(by_classes))
    if config.images is None:
        assert all(later > earlier for earlier, later in pairwise(by_search))


@pytest.mark.parametrize(
    ("changes", "probes", "steps"),
    [
        ({}, 8, 2), ({}, 9, 3), ({}, 1, 1), ({"epochs": 3}, 9, 9), ({"images": 6}, 9, 2),
        ({"images": 60}, 9, 3), ({"batch": 100}, 9, 1),
    ],
)  # fmt: skip
def test_steps_count_a_last_small_batch_too(
    changes: dict[str, Any], probes: int, steps: int
) -> None:
    assert steps_of(replace(CONFIGS[0], **changes), probes) == steps


def test_no_more_is_searched_or_measured_than_there_is() -> None:
    race = replace(CONFIGS[0], max_inverted_classes=3, num_eval=5)
    assert [searches_of(race, count) for count in (1, 3, 8)] == [1, 3, 3]
    assert [searches_of(CONFIGS[0], count) for count in (1, 3, 8)] == [1, 3, 8]
    assert [num_eval_of(race, count) for count in (4, 5, 9)] == [4, 5, 5]
    assert num_eval_of(CONFIGS[0], 9) == 9


@pytest.fixture
def second_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """One measured batch takes a second, so that what is made of it can be told exactly."""

    def timed(work: Any, on: torch.Tensor) -> float:
        work()
        return 1.0

    monkeypatch.setattr(cost, "timed", timed)


@pytest.mark.usefixtures("second_a_batch")
def test_seconds_grow_with_classes_probes_and_epochs(learner: Classifier) -> None:
    def seconds(count: int = 4, search: int = 8, held_out: int = 12, **changes: Any) -> float:
        config = replace(CONFIGS[0], **changes)
        given = pools(learner.backbone, search, held_out)
        return pace(learner, given, config).of_sweep(config, count)

    assert seconds(count=3) < seconds(count=4) < seconds(count=9)
    assert seconds(search=4) < seconds(search=8) < seconds(search=16)
    assert seconds(held_out=6) < seconds(held_out=12)
    assert seconds() < seconds(epochs=2)
    assert seconds(count=9, max_inverted_classes=4) == seconds(count=4)
    assert seconds(trigger_splits=2) < seconds() < seconds(local_first=True)


@pytest.mark.usefixtures("second_a_batch")
def test_seconds_are_those_of_the_steps_and_of_the_pictures_measured_on(
    learner: Classifier,
) -> None:
    """A step looks at a batch and goes back through it; measuring only looks: half of that."""
    given, config = pools(learner.backbone), CONFIGS[0]
    made = pace(learner, given, config)
    assert made.inversion == pytest.approx(2 * 1.0 + 12 / 4 / 2)
    without_inversions = images_of_sweep(config, given, 1) - 8 - 12
    assert made.random_triggers == pytest.approx(without_inversions / 4 / 2)
    assert Pace(2.0, 5.0).of_sweep(config, 3) == 11.0


def test_the_measured_pace_is_about_what_a_sweep_then_takes(learner: Classifier) -> None:
    """Within a factor of six either way in one of five tries: other processes run here, too."""
    given, config = pools(learner.backbone, 32, 32), replace(CONFIGS[0], batch=16)
    ratios = []
    for _ in range(5):
        clean = encode_probes(learner, given, config)
        estimated = pace(learner, given, config).of_sweep(config, 4)
        sweep = SequentialTest(learner, given, config, 5, clean)
        begun = time.monotonic()
        sweep.sweep([0, 1, 2, 3], Meter(lambda _: None, None))
        ratios.append(estimated / (time.monotonic() - begun))
        if 1 / 6 < ratios[-1] < 6:
            return
    raise AssertionError(f"estimated seconds by those it took: {ratios}")
