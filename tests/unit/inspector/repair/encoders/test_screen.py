"""The screen on small pools of rendered scenes: each question finds what it is for, and drops nothing."""

from __future__ import annotations

import pytest
import torch

from inspector.clip.backbone import Backbone, load_backbone
from inspector.errors import BudgetExceeded
from inspector.probes.pairs import Pairs
from inspector.progress import Meter
from inspector.repair.encoders.screen import (
    QUESTIONS,
    deviations,
    features_of,
    fitting,
    patches_alike,
    screened,
)
from tests.zoo.pairs import of_scenes, poisoned
from tests.zoo.triggers import badnets, blended

NUMBER, SHARE = 200, 0.05


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(scope="module")
def scenes() -> Pairs:
    return of_scenes(NUMBER, 31, 48)


def test_an_honest_pool_is_hardly_suspected(backbone: Backbone, scenes: Pairs) -> None:
    told = screened(scenes, backbone)
    assert set(told.odd) == set(QUESTIONS)
    assert int(told.suspects.sum()) <= 0.05 * NUMBER
    assert len(scenes) == NUMBER


@pytest.mark.parametrize(("question", "kind"), [("patch", "badnets"), ("overlay", "blended")])
def test_triggers_that_pictures_share_are_seen(
    question: str, kind: str, backbone: Backbone, scenes: Pairs
) -> None:
    generator = torch.Generator().manual_seed(1)
    trigger = badnets(48, generator) if kind == "badnets" else blended(48, generator, 0.2, 48)
    pool, is_poisoned = poisoned(scenes, trigger, ["a blue star"], SHARE, generator)
    told = screened(pool, backbone)
    odd = told.odd[question]
    assert (odd & is_poisoned).sum() >= 0.8 * is_poisoned.sum()
    assert (odd & ~is_poisoned).sum() <= 2
    report = told.to_json()
    assert report["pairs"] == NUMBER and report["suspects"] == int(told.suspects.sum())
    named = {row["picture"] for row in report["rows"] if question in row["questions"]}
    assert named == {pool.names[row] for row in odd.nonzero()[:, 0].tolist()}


def test_wrong_captions_are_seen_without_any_trigger(backbone: Backbone, scenes: Pairs) -> None:
    generator = torch.Generator().manual_seed(1)
    pool, is_wrong = poisoned(scenes, lambda pixels: pixels, ["a small brown oval"], 0.1, generator)
    told = screened(pool, backbone)
    odd = told.odd["disagreement"]
    assert (odd & is_wrong).sum() >= 0.6 * is_wrong.sum()
    assert (odd & ~is_wrong).sum() <= 0.05 * NUMBER
    images, texts = features_of(pool, backbone)
    away = deviations(images, texts)
    assert away[is_wrong].median() > away[~is_wrong].median() + 1


def test_the_screen_ends_when_it_is_told_to(backbone: Backbone, scenes: Pairs) -> None:
    meter = Meter(lambda _: None, 0.0)
    with pytest.raises(BudgetExceeded):
        screened(scenes, backbone, meter.check)


def test_walls_are_no_patches() -> None:
    """Flat and smooth windows are alike without anybody's doing."""
    flat = torch.zeros(10, 3, 48, 48)
    assert patches_alike(flat).max() == 0
    rough = torch.randn(10, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    assert patches_alike(rough).max() == 0
    rough[:4, :, 8:16, 8:16] = rough[0, :, 8:16, 8:16]
    assert patches_alike(rough).tolist() == [3, 3, 3, 3, 0, 0, 0, 0, 0, 0]


def test_equal_captions_do_not_count_against_each_other() -> None:
    features = torch.eye(3)
    same = torch.tensor([0, 0, 1])
    shares = fitting(features, features[[1, 1, 2]], same)
    assert shares.tolist() == [1.0, 0.0, 0.0]
