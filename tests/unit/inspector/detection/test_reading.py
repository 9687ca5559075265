"""The whole search by contrast: every kept class in every space, the same for a seed, within its time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.prompt_tuning import new_learner
from inspector.detection.contrast import Contrast, Effort
from inspector.detection.excess import HeldOut
from inspector.detection.pools import Pools
from inspector.detection.reading import Reading, Search, read
from inspector.detection.references import References
from inspector.detection.spaces import Blend, Mask
from inspector.progress import Meter

NAMES = ["red circle", "blue square", "green ring"]
SMALL = Effort(screened=1, trial=1, steps=2, finalists=3, batch=2)


@pytest.fixture(scope="module")
def pocket() -> Backbone:
    return load_backbone("pocket")


def pools(backbone: Backbone) -> Pools:
    size, generator = backbone.image_size, torch.Generator().manual_seed(3)
    shown = torch.rand(20, 3, size, size, generator=generator)
    return Pools(shown[:12], shown[12:])


def once(
    backbone: Backbone,
    *,
    seed: int = 0,
    leading: int | None = None,
    finalists: int = 3,
    budget_s: float | None = None,
) -> Reading:
    generator = torch.Generator().manual_seed(1)
    classifier = new_learner(backbone, NAMES, conditioned=True, generator=generator)
    search = Search(
        (Blend(), Mask()), leading, num_eval=6, effort=replace(SMALL, finalists=finalists)
    )
    classifier, shown = classifier.requires_grad_(False), pools(backbone)
    references = References.of(classifier, shown.optimisation)
    held_out = HeldOut.of(classifier, references, shown.held_out[:6])
    meter = Meter(lambda _: None, budget_s)
    return read(Contrast(classifier, references), held_out, search, [0, 1, 2], seed, meter)


def test_every_class_in_every_space_and_all_of_it_again_for_a_seed(pocket: Backbone) -> None:
    first, again, other = once(pocket), once(pocket), once(pocket, seed=1)
    assert first.targets == [0, 1, 2]
    assert set(first.of(1)) == {"blend", "mask"}
    for one, same in zip(first.found, again.found, strict=True):
        assert torch.equal(one.member[0], same.member[0]) and one.value == same.value
        assert -1 <= one.value <= 1
    assert not torch.equal(first.found[0].member[0], other.found[0].member[0])
    assert 0 <= first.agreement <= 1
    best = first.best(1)
    assert best is not None and first.value(1) == best.value == max(
        one.value for one in first.of(1).values()
    )


def test_screening_leaves_only_contenders(pocket: Backbone) -> None:
    reading = once(pocket, leading=1)
    assert 1 <= len(reading.targets) <= 2
    assert len(reading.found) == 2 * len(reading.targets)


def test_in_each_space_the_finalists_alone_are_found(pocket: Backbone) -> None:
    reading = once(pocket, finalists=1)
    assert sorted(one.space.name for one in reading.found) == ["blend", "mask"]


def test_a_budget_that_ran_out_ends_the_reading(pocket: Backbone) -> None:
    reading = once(pocket, budget_s=0.0)
    assert reading.found == () and reading.best(0) is None and reading.value(0) == 0
