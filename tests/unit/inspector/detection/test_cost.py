"""What a search is said to cost, held against what it was counted to cost."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.detection import testing
from inspector.detection.pools import Pools
from inspector.profiles import PROFILES, TwinBudget
from inspector.progress import Meter

NAMES = ["red circle", "blue star", "green square", "black cross"]
SMALL = TwinBudget(leading=1, num_eval=8, screened=2, trial=1, steps=2, finalists=1, batch=4)
TESTS = {
    "published": PROFILES["paper"],
    "twins": replace(PROFILES["quick"], twins=SMALL),
}


def pools(backbone: Backbone, search: int = 16, held_out: int = 12) -> Pools:
    size = backbone.image_size
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(search + held_out, 3, size, size, generator=generator)
    return Pools(pixels[:search], pixels[search:])


@pytest.fixture(scope="module")
def learner(vit: Backbone) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    return new_learner(vit, NAMES, conditioned=True, generator=generator).requires_grad_(False)


def a_test(kind: str, learner: Classifier, probes: Pools) -> testing.Test:
    return testing.test_of(TESTS[kind], learner, probes, 0.05, 5)


def test_the_published_search_encodes_what_is_said(learner: Classifier) -> None:
    """Exactly: neither more nor fewer, but for the held-out probes without a trigger."""
    probes = pools(learner.backbone)
    test = a_test("published", learner, probes)
    said = test.expected(4).images
    before, backward = learner.work.image_forward, learner.work.image_backward
    test.sweep([0, 1, 2, 3], Meter(lambda _: None, None))
    assert learner.work.image_forward - before == said + len(probes.held_out)
    assert learner.work.image_backward - backward == 4 * len(probes.optimisation)


@pytest.mark.parametrize("kind", TESTS)
def test_more_classes_never_cost_less(learner: Classifier, kind: str) -> None:
    test = a_test(kind, learner, pools(learner.backbone))
    images = [test.expected(count).images for count in range(1, 12)]
    assert images == sorted(images) and images[0] > 0


@pytest.mark.parametrize("kind", TESTS)
def test_units_are_those_that_the_meter_counts(learner: Classifier, kind: str) -> None:
    events: list[dict[str, object]] = []
    test = a_test(kind, learner, pools(learner.backbone))
    meter = Meter(events.append, None)
    meter.expect(test.units(4))
    test.sweep([0, 1, 2, 3], meter)
    assert test.units(4) == testing.units_of(TESTS[kind], 4)
    assert events[-1]["fraction"] == pytest.approx(0.98)


@pytest.mark.parametrize("kind", TESTS)
def test_the_expected_seconds_are_about_those_it_then_takes(learner: Classifier, kind: str) -> None:
    """Within a factor of ten either way in one of five tries: other processes run here, too."""
    ratios = []
    for _ in range(5):
        test = a_test(kind, learner, pools(learner.backbone))
        estimated = test.expected(4).seconds
        begun = time.monotonic()
        test.sweep([0, 1, 2, 3], Meter(lambda _: None, None))
        ratios.append(estimated / (time.monotonic() - begun))
        if 1 / 10 < ratios[-1] < 10:
            return
    raise AssertionError(f"estimated seconds by those it took: {ratios}")
