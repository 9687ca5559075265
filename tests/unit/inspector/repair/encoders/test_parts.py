"""Losses, views and rates by what is written of them: figures by hand, and properties."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch.nn import functional

from inspector.repair.encoders.augment import ERASED, changed, noisy, reworded
from inspector.repair.encoders.losses import contrast, forgetting, push, same_words
from inspector.repair.encoders.recipes import CLEAN_CLIP, PAR, Schedule


def features(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, 8, generator=generator), dim=1)


def test_contrast_is_clips_where_no_caption_repeats() -> None:
    left, right = features(5, 1), features(5, 2)
    logits, rows = 7.0 * left @ right.T, torch.arange(5)
    wanted = (functional.cross_entropy(logits, rows) + functional.cross_entropy(logits.T, rows)) / 2
    tokens = torch.arange(10).view(5, 2)
    assert contrast(left, right, 7.0, same_words(tokens)) == pytest.approx(float(wanted), abs=1e-5)


def test_equal_captions_are_no_negatives_of_each_other() -> None:
    tokens = torch.tensor([[1, 2], [3, 4], [1, 2]])
    assert same_words(tokens).tolist() == [[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]]
    texts = features(2, 3)[[0, 1, 0]]
    aligned = contrast(texts, texts, 100.0, same_words(tokens))
    assert aligned == pytest.approx(2 / 3 * math.log(2), abs=1e-3)
    assert contrast(texts, texts, 100.0, torch.eye(3)) == pytest.approx(float(aligned), abs=1e-3)


def test_the_push_ends_hard_at_the_threshold() -> None:
    before = features(4, 1)
    near = (before + 0.1).requires_grad_()
    distance = push(near, before, 2.0)
    assert distance.item() == pytest.approx(8 * 0.01, abs=1e-6)
    (gradient,) = torch.autograd.grad(distance, near)
    assert gradient.abs().sum() > 0
    far = (-before).requires_grad_()
    beyond = push(far, before, 2.15)
    (gradient,) = torch.autograd.grad(beyond, far)
    assert (beyond.item(), gradient.abs().sum().item()) == (0.0, 0.0)


def test_what_is_forgotten_pushes_no_more() -> None:
    classes = torch.eye(3)
    to_target, elsewhere = torch.eye(3)[[1]].requires_grad_(), torch.eye(3)[[2]].requires_grad_()
    strong, weak = (forgetting(one, classes, 1, 20.0) for one in (to_target, elsewhere))
    p = 1 / (1 + 2 * math.exp(-20))
    assert strong.item() == pytest.approx(-math.log(1 - p), rel=1e-3)
    assert weak < 1e-6
    (gradient,) = torch.autograd.grad(weak, elsewhere)
    assert gradient.abs().max() < 1e-5


def test_mild_views_add_light_and_at_most_one_small_hole() -> None:
    pixels = torch.full((400, 3, 20, 20), 0.5)
    views = noisy(pixels, torch.zeros(3, 1, 1), torch.Generator().manual_seed(1))
    dark = (views == 0).all(1).flatten(1).sum(1)
    assert 0.4 < (dark > 0).float().mean() < 0.6
    most = (ERASED[1] ** 0.5 * 20 + 0.5) ** 2
    assert dark.max() <= most
    kept = views[dark == 0]
    assert (kept >= 0.5).all() and views.max() <= 1
    assert 0.4 < (kept > 0.5).flatten(1).any(1).float().mean() < 0.6


def test_strong_views_stay_pictures_and_follow_the_generator() -> None:
    pixels = torch.rand(6, 3, 20, 20, generator=torch.Generator().manual_seed(2))
    first, second = (changed(pixels, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == pixels.shape and first.min() >= 0 and first.max() <= 1
    assert all((one - other).abs().mean() > 0.01 for one, other in zip(first, pixels, strict=True))
    left = torch.zeros(200, 3, 20, 20)
    left[..., :6] = 1
    views = changed(left, torch.Generator().manual_seed(4))
    brighter = views[..., :6].mean((1, 2, 3)) > views[..., -6:].mean((1, 2, 3))
    # But for the solarised ones nothing changes sides.
    assert brighter.float().mean() > 0.75


def test_rewording_keeps_words_and_never_all_of_their_order() -> None:
    caption = "a small red circle on a striped blue background"
    said = reworded([caption] * 50, random.Random(1))
    assert all(set(one.split()) <= set(caption.split()) and one for one in said)
    assert len(set(said)) > 20
    assert reworded(["word"], random.Random(1)) == ["word"]


def test_rates_of_the_published_recipes() -> None:
    rates = PAR.rates(5120)
    assert len(rates) == PAR.steps(5120) == 100
    assert rates[0] == pytest.approx(3e-5)
    assert rates[50] == pytest.approx(3e-6)
    assert 0 <= rates[-1] < 1e-8
    assert rates == sorted(rates, reverse=True)
    clean = CLEAN_CLIP.rates(6400)
    assert len(clean) == 1000
    assert clean[:50] == sorted(clean[:50])
    assert clean[49] == max(clean) == pytest.approx(1e-5)
    assert clean[-1] < 1e-9


def test_few_pairs_still_make_an_update_a_pass() -> None:
    assert len(Schedule(3, 64, 1e-4, warm_up=50).rates(10)) == 3
