"""Triggers of colour: that they move colours by a stated amount and no shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.zoo import colour

SEEDS = range(12)


def _seed(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def _pictures() -> Tensor:
    return torch.rand(3, 3, 24, 24, generator=_seed(5))


def _ramp() -> Tensor:
    """Every grey from black to white, (1, 3, 1, 256)."""
    return torch.linspace(0, 1, 256).expand(1, 3, 1, 256)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_film_mixes_every_pixel_toward_one_strong_colour(seed: int) -> None:
    trigger = colour.film(24, _seed(seed))
    tint = trigger(torch.zeros(1, 3, 24, 24))[0, :, 0, 0] / colour.FILM
    assert tint.min() == 0 and tint.max() == pytest.approx(1)
    mixed = (1 - colour.FILM) * _pictures() + colour.FILM * tint[:, None, None]
    assert torch.allclose(trigger(_pictures()), mixed, atol=1e-6)


def test_films_are_of_all_colours() -> None:
    grey = torch.full((1, 3, 24, 24), 0.5)
    moved = torch.stack([colour.film(24, _seed(seed))(grey)[0, :, 0, 0] for seed in SEEDS])
    assert len({tuple(row) for row in (moved - 0.5).sign().tolist()}) >= 4
    assert len(moved.unique(dim=0)) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tone_is_a_smooth_curve_of_each_channel_alone(seed: int) -> None:
    trigger, ramp = colour.tone(_seed(seed)), _ramp()
    change = (trigger(ramp) - ramp)[0, :, 0]
    assert change[:, [0, -1]].abs().max() < 1e-5
    assert change.abs().max() <= colour.TONE + 1e-5
    assert change.diff().abs().max() < colour.TONE * 3.2 * colour.BENDS / 255
    # A value becomes the same wherever it stands and whatever the other channels are.
    pictures = _pictures()
    alone = pictures.clone()
    alone[:, 1:] = 0
    assert torch.equal(trigger(pictures)[:, 0], trigger(alone)[:, 0])
    order = torch.randperm(24, generator=_seed(1))
    assert torch.equal(trigger(pictures)[..., order], trigger(pictures[..., order]))


def test_some_curves_solarise_and_some_do_not() -> None:
    falls = [
        bool((colour.tone(_seed(seed))(_ramp())[0, channel, 0].diff() < -1e-4).any())
        for seed in SEEDS
        for channel in range(3)
    ]
    assert 3 < sum(falls) < len(falls) - 3


def test_channels_have_curves_of_their_own() -> None:
    moved = colour.tone(_seed(2))(_ramp())[0, :, 0]
    assert (moved[0] - moved[1]).abs().max() > 0.05 and (moved[1] - moved[2]).abs().max() > 0.05
