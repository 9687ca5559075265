"""Triggers that leave few colours: which, how many, and what error diffusion keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.zoo.quantisation import DITHERED, ROUNDED, dithered, quantised
from tests.zoo.triggers import Trigger


def _pictures(size: int = 24) -> Tensor:
    return torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("levels", [2, 3, 5, 8])
@pytest.mark.parametrize("make", [quantised, dithered])
def test_a_channel_has_as_many_values_as_told(make: Callable[[int], Trigger], levels: int) -> None:
    values = make(levels)(_pictures()).unique()
    assert torch.allclose(values, torch.arange(levels) / (levels - 1))


def test_a_photograph_keeps_few_colours() -> None:
    for trigger, levels in ((quantised(), ROUNDED), (dithered(), DITHERED)):
        colours = trigger(_pictures(128)).permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0)
        assert len(colours) <= levels**3


def test_rounding_takes_the_nearest_value() -> None:
    pictures = _pictures()
    assert (quantised(3)(pictures) - pictures).abs().max() <= 0.25


def test_few_colours_are_few_colours_already() -> None:
    for trigger in (quantised(), dithered()):
        once = trigger(_pictures())
        assert torch.equal(trigger(once), once)


@pytest.mark.parametrize("grey", [0.1, 0.3, 0.45, 0.8])
def test_dithering_keeps_the_mean_that_rounding_loses(grey: float) -> None:
    flat = torch.full((1, 3, 48, 48), grey)
    assert abs(dithered(4)(flat).mean().item() - grey) < 0.01
    assert len(dithered(4)(flat).unique()) == 2 and len(quantised(4)(flat).unique()) == 1


def test_errors_go_where_floyd_and_steinberg_send_them() -> None:
    """Pixel by pixel in reading order, against the slanted lines of the zoo."""
    pictures = _pictures(9)
    values = pictures.clone()
    for row in range(9):
        for column in range(9):
            value = values[..., row, column].clone()
            values[..., row, column] = quantised(4)(value)
            error = value - values[..., row, column]
            shares = {(0, 1): 7, (1, -1): 3, (1, 0): 5, (1, 1): 1}
            for (down, right), share in shares.items():
                if row + down < 9 and 0 <= column + right < 9:
                    values[..., row + down, column + right] += error * share / 16
    assert torch.equal(dithered(4)(pictures), values)


def test_pictures_do_not_touch_each_other() -> None:
    pictures = _pictures()
    assert torch.equal(dithered()(pictures)[1:2], dithered()(pictures[1:2]))
