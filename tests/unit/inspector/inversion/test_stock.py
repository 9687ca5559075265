"""Stock triggers and what they carry, on a tiny random backbone."""

from __future__ import annotations

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.inversion.search import SearchConfig, view
from inspector.inversion.stock import DRAWS, RATIO, REACH, answers, blend, warp
from inspector.inversion.sweep import Pools, sweep
from inspector.tuning.learner import new_learner

NAMES = ["red circle", "blue star", "green square"]


@pytest.fixture
def learner(vit: Backbone) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    return new_learner(vit, NAMES, conditioned=False, generator=generator).requires_grad_(False)


@pytest.fixture
def pixels(vit: Backbone) -> torch.Tensor:
    size = vit.image_size
    return torch.rand(10, 3, size, size, generator=torch.Generator().manual_seed(4))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_warp_is_the_same_for_all_images_and_invents_no_colour() -> None:
    size = 40
    ramp = torch.arange(size, dtype=torch.float32).expand(3, size, size) / (size - 1)
    flat = torch.full((3, size, size), 0.3)
    moved = warp(size, seeded(1))(torch.stack([ramp, flat, ramp]))
    assert torch.equal(moved[0], moved[2])
    assert torch.allclose(moved[1], flat, atol=1e-6)
    pixels_moved = (moved[0] - ramp).abs() * (size - 1)
    assert REACH / 4 < pixels_moved.mean() < REACH
    assert pixels_moved.max() <= REACH + 1e-3


def test_a_blend_mixes_one_picture_in() -> None:
    black, white = torch.zeros(2, 3, 8, 8), torch.ones(1, 3, 8, 8)
    apply = blend(8, seeded(2))
    dark, light = apply(black), apply(white)
    assert torch.equal(dark[0], dark[1])
    assert dark.min() >= 0
    assert dark.max() <= RATIO
    assert torch.allclose(light - dark[:1], torch.full_like(light, 1 - RATIO), atol=1e-6)


def test_answers_count_only_probes_that_were_elsewhere(
    learner: Classifier, pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = torch.zeros(10, 3)
    clean[:4, 0] = clean[4:, 1] = 1.0
    after = torch.zeros(10, 3)
    after[:5, 0] = after[5:9, 2] = after[9:, 1] = 1.0
    monkeypatch.setattr(Classifier, "forward", lambda self, pixels: after)
    found = answers(learner, view(learner, pixels), clean, seed=0)
    assert [set(one) for one in found] == [set(DRAWS)] * 3
    assert [one["warp"] for one in found] == pytest.approx([1 / 6, 0.0, 4 / 10])


def test_answers_repeat_for_a_seed_and_lie_in_the_unit_interval(
    learner: Classifier, pixels: torch.Tensor
) -> None:
    probes = view(learner, pixels)
    clean = learner.logits_from_features(probes.features)
    found = [answers(learner, probes, clean, seed) for seed in (1, 1)]
    assert found[0] == found[1]
    assert all(0 <= share <= 1 for one in found[0] for share in one.values())


def test_every_outcome_of_a_sweep_carries_its_class_s_answers(
    learner: Classifier, pixels: torch.Tensor
) -> None:
    pools = Pools(pixels[:4], pixels[4:])
    probes = view(learner, pools.held_out)
    expected = answers(learner, probes, learner.logits_from_features(probes.features), seed=5)
    assert expected[0] != expected[2]
    outcomes = sweep(learner, pools, [2, 0], SearchConfig(epsilon=0.05, batch=4), seed=5)
    assert [outcome.stock_asr for outcome in outcomes] == [expected[2], expected[0]]
