"""Random triggers and what they carry, on a tiny random backbone."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.detection.effects import (
    asr_gains,
    encode_clean,
    encode_triggered,
)
from inspector.detection.random_triggers import (
    BENDS,
    COLOUR,
    FILMS,
    GLOBAL,
    INK,
    LOCAL,
    SHARES,
    blend,
    draw,
    film,
    gains_by_class,
    patch,
    strokes,
    tone,
    warp,
)

NAMES = ["red circle", "blue star", "green square"]


def learned(vit: Backbone, *, conditioned: bool) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    learner = new_learner(vit, NAMES, conditioned=conditioned, generator=generator)
    if learner.meta_net is not None:
        learner.meta_net.linear2.weight.data *= 20  # So that what it reads matters.
    return learner.requires_grad_(False)


@pytest.fixture
def static(vit: Backbone) -> Classifier:
    return learned(vit, conditioned=False)


@pytest.fixture
def conditioned(vit: Backbone) -> Classifier:
    return learned(vit, conditioned=True)


@pytest.fixture
def pixels(vit: Backbone) -> torch.Tensor:
    size = vit.image_size
    return torch.rand(10, 3, size, size, generator=torch.Generator().manual_seed(4))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("reach", "cells"), [(12.0, 0), (6.0, 5)])
def test_a_warp_is_the_same_for_all_images_and_invents_no_colour(reach: float, cells: int) -> None:
    size = 40
    ramp = torch.arange(size, dtype=torch.float32).expand(3, size, size) / (size - 1)
    flat = torch.full((3, size, size), 0.3)
    moved = warp(size, seeded(1), reach, cells)(torch.stack([ramp, flat, ramp]))
    assert torch.equal(moved[0], moved[2])
    assert torch.allclose(moved[1], flat, atol=1e-6)
    pixels_moved = (moved[0] - ramp).abs() * (size - 1)
    assert reach / 8 < pixels_moved.mean() < reach
    assert pixels_moved.max() <= 1.5 * reach  # Bicubic interpolation overshoots.


@pytest.mark.parametrize("cells", [0, 2])
def test_a_blend_mixes_one_picture_in(cells: int) -> None:
    black, white = torch.zeros(2, 3, 8, 8), torch.ones(1, 3, 8, 8)
    apply = blend(8, seeded(2), 0.3, cells)
    dark, light = apply(black), apply(white)
    assert torch.equal(dark[0], dark[1])
    assert dark.min() >= 0
    assert dark.max() <= 0.3
    assert torch.allclose(light - dark[:1], torch.full_like(light, 0.7), atol=1e-6)


@pytest.mark.parametrize("make", [warp, blend])
def test_coarse_triggers_are_smoother_than_fine_ones(make: object) -> None:
    picture = torch.rand(1, 3, 48, 48, generator=seeded(9))
    smooth = functional.avg_pool2d(picture, 9, 1, 4, count_include_pad=False)

    def roughness(cells: int, seed: int) -> float:
        moved = make(48, seeded(seed), 0.4, cells)(smooth) - smooth  # type: ignore[operator]
        return float(moved.diff(dim=-1).abs().mean() / moved.abs().mean())

    coarse, fine = (fmean(roughness(cells, seed) for seed in range(8)) for cells in (6, 0))
    assert coarse < 0.75 * fine


@pytest.mark.parametrize("cells", [1, 3])
def test_a_patch_covers_one_square_and_hides_what_was_there(cells: int) -> None:
    black, white = torch.zeros(1, 3, 48, 48), torch.ones(1, 3, 48, 48)
    places = set()
    for seed in range(8):
        apply = patch(48, seeded(seed), 1 / 4, cells)
        covered = (apply(white) - apply(black)).amax(1)[0] == 0
        rows, columns = covered.any(1).nonzero()[:, 0], covered.any(0).nonzero()[:, 0]
        assert len(rows) == len(columns) == 12 and covered.sum() == 144
        square = apply(black)[0, :, covered].T
        assert len(square.unique(dim=0)) == cells**2
        places.add((int(rows[0]), int(columns[0])))
    assert len(places) > 4
    assert black.amax() == 0  # The pictures that were given stay as they were.


def test_strokes_are_thin_lines_of_one_colour_and_a_little_of_the_picture() -> None:
    grey = torch.full((2, 3, 96, 96), 0.5)
    few, many = (strokes(96, seeded(3), number)(grey) for number in (4, 16))
    for drawn_on in (few, many):
        assert torch.equal(drawn_on[0], drawn_on[1])
        touched = (drawn_on[0] != 0.5).any(0)
        inks = drawn_on[0, :, touched].T.unique(dim=0)
        assert len(inks) == 1
        assert torch.allclose((inks - 0.5).abs(), torch.full((1, 3), INK / 2))
        assert 0 < touched.float().mean() < 0.08
    assert (many[0] != 0.5).sum() > (few[0] != 0.5).sum()


def test_a_film_mixes_one_saturated_colour_into_every_pixel() -> None:
    black, white = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    hues = set()
    for seed in range(8):
        apply = film(8, seeded(seed))
        dark, light = apply(black), apply(white)
        weight = 1 - float((light - dark).mean())
        assert FILMS[0] <= weight <= FILMS[1]
        colour = dark[0, :, 0, 0] / weight
        assert torch.equal(dark, dark[:, :, :1, :1].expand_as(dark))
        assert (colour.amin().item(), colour.amax().item()) == pytest.approx((0, 1), abs=1e-6)
        hues.add(int(colour.argmax()))
    assert len(hues) > 1


def test_a_tone_curve_keeps_black_and_white_and_no_shape() -> None:
    ramp = torch.linspace(0, 1, 64).expand(3, 64, 64)[None]
    moved = tone(64, seeded(4))(ramp)
    assert torch.equal(moved, moved[:, :, :1].expand_as(moved))
    assert torch.allclose(moved[..., [0, -1]], ramp[..., [0, -1]], atol=1e-6)
    assert 0.05 < float((moved - ramp).abs().amax()) < BENDS * 0.3
    assert not torch.allclose(moved[:, 0], moved[:, 1])


def test_what_disturbs_changes_every_part_and_the_rest_a_little() -> None:
    picture = torch.rand(1, 3, 48, 48, generator=seeded(9))
    for family, triggers in draw(48, 1).items():
        for trigger in triggers:
            changed = float(((trigger(picture) - picture).abs().amax(1) > 0).float().mean())
            assert (changed > 0.9) is (family not in LOCAL)


def test_a_seed_draws_the_same_triggers_and_another_seed_others(pixels: torch.Tensor) -> None:
    size = pixels.shape[-1]
    first, same, other = (draw(size, seed) for seed in (1, 1, 2))
    for family, triggers in first.items():
        for index, trigger in enumerate(triggers):
            assert torch.equal(trigger(pixels), same[family][index](pixels))
            assert not torch.equal(trigger(pixels), other[family][index](pixels))


def test_a_static_prompt_wins_what_zero_shot_prompts_do_not_win(
    static: Classifier, pixels: torch.Tensor
) -> None:
    """Of the probes that were elsewhere."""
    static.context.data += torch.randn(static.context.shape, generator=seeded(3))
    baseline = encode_clean(static, pixels)
    seen = encode_triggered(static, baseline.zero_shot, 1 - pixels)
    backbone = static.backbone
    text = backbone.zero_shot(static.classnames)
    plain, negative = (
        backbone.logit_scale * backbone.image_features(x) @ text.T for x in (pixels, 1 - pixels)
    )

    def share(before: torch.Tensor, after: torch.Tensor, index: int) -> float:
        elsewhere = before.argmax(1) != index
        return float((after.argmax(1)[elsewhere] == index).float().mean())

    gains = asr_gains(static, baseline, seen)
    for index, gain in enumerate(gains.tolist()):
        expected = share(baseline.logits, seen.logits, index) - share(plain, negative, index)
        assert gain == pytest.approx(expected, abs=1e-6)
    assert gains.any()


def test_only_what_the_prompt_does_counts_for_a_conditioned_one(
    conditioned: Classifier, pixels: torch.Tensor
) -> None:
    baseline = encode_clean(conditioned, pixels)
    seen = encode_triggered(conditioned, baseline.zero_shot, 1 - pixels)
    assert baseline.text is not None
    scale = conditioned.backbone.logit_scale
    unread = scale * torch.stack(
        [f @ t.T for f, t in zip(seen.features, baseline.text, strict=True)]
    )
    whole = conditioned(1 - pixels)
    gains = asr_gains(conditioned, baseline, seen)
    for index, gain in enumerate(gains.tolist()):
        elsewhere = unread.argmax(1) != index
        won = ((whole.argmax(1) == index) & elsewhere).sum() / elsewhere.sum().clamp(min=1)
        assert gain == pytest.approx(float(won))
    assert gains.max() > 0


def test_a_deaf_prompt_has_no_effect_at_all(conditioned: Classifier, pixels: torch.Tensor) -> None:
    assert conditioned.meta_net is not None
    torch.nn.init.zeros_(conditioned.meta_net.linear2.weight)
    baseline = encode_clean(conditioned, pixels)
    seen = encode_triggered(conditioned, baseline.zero_shot, 1 - pixels)
    assert not asr_gains(conditioned, baseline, seen).any()


def test_neighbours_in_a_family_are_put_on_different_probes_and_families_count_alike(
    conditioned: Classifier, pixels: torch.Tensor
) -> None:
    families = []
    for family, triggers in draw(conditioned.backbone.image_size, 5).items():
        gains = []
        for number, trigger in enumerate(triggers):
            ours = encode_clean(conditioned, pixels[number % SHARES[family] :: SHARES[family]])
            seen = encode_triggered(conditioned, ours.zero_shot, trigger(ours.pixels))
            gains.append(asr_gains(conditioned, ours, seen))
        families.append(torch.stack(gains).mean(0))
    assert {*GLOBAL, *LOCAL, *COLOUR} == set(SHARES)
    answer = gains_by_class(conditioned, encode_clean(conditioned, pixels), seed=5)
    assert torch.allclose(answer, torch.stack(families).mean(0), atol=1e-6)
    assert answer.abs().max() > 0
