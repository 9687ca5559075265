"""Triggers of one or two frequencies: where their energy lies, and how strong they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.zoo import frequency
from tests.zoo.frequency import BLOCK


def _change(name: str, seed: int, size: int = 48) -> Tensor:
    """What is added to a grey picture, (3, S, S)."""
    grey = torch.full((1, 3, size, size), 0.5)
    draw = getattr(frequency, name)
    change: Tensor = draw(size, torch.Generator().manual_seed(seed))(grey) - grey
    return change[0]


def _coefficients(block: Tensor) -> Tensor:
    """Orthonormal cosine transform (BLOCK, BLOCK), by the definition."""
    axis = torch.arange(BLOCK).double()
    matrix = ((axis[None] + 0.5) * axis[:, None] * torch.pi / BLOCK).cos() * (2 / BLOCK) ** 0.5
    matrix[0] /= 2**0.5
    transformed: Tensor = matrix @ block.double() @ matrix.T
    return transformed


@pytest.mark.parametrize("size", [48, 128])
@pytest.mark.parametrize("seed", range(5))
def test_a_block_holds_one_middle_and_one_high_frequency(seed: int, size: int) -> None:
    blocks = _change("dct", seed, size).unfold(1, BLOCK, BLOCK).unfold(2, BLOCK, BLOCK)
    for block in blocks.flatten(1, 2)[2]:
        energy = _coefficients(block) ** 2
        assert energy.flatten().topk(2).values.sum() > 0.999 * energy.sum()
        rows, columns = (energy > 0.1 * energy.max()).nonzero(as_tuple=True)
        places = sorted(zip(rows.tolist(), columns.tolist(), strict=True))
        assert len(places) == 2
        assert all(BLOCK // 4 <= place < BLOCK // 2 for place in places[0])
        assert all(3 * BLOCK // 4 <= place < BLOCK for place in places[1])


@pytest.mark.parametrize("seed", range(5))
def test_blocks_change_colour_but_not_brightness(seed: int) -> None:
    change = _change("dct", seed)
    brightness = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    assert (change * brightness).sum(0).abs().max() < 1e-3
    assert abs(change.abs().max().item() - frequency.COSINES) < 1e-5


@pytest.mark.parametrize("size", [48, 128])
@pytest.mark.parametrize("seed", range(5))
def test_a_wave_is_one_line_of_the_spectrum(seed: int, size: int) -> None:
    change = _change("sinusoid", seed, size)
    assert torch.equal(change[0], change[1]) and torch.equal(change[0], change[2])
    energy = torch.fft.rfft2(change[0].double()).abs() ** 2
    assert energy.max() > 0.999 * energy.sum()
    row, column = divmod(int(energy.argmax()), energy.shape[1])
    fewest, most = frequency.CYCLES
    assert fewest <= column <= most and min(row, size - row) <= fewest
    root = (change[0] ** 2).mean().sqrt().item()
    assert abs(root - frequency.SINE / 2**0.5) < 1e-3


@pytest.mark.parametrize("size", [24, 50, 225])
@pytest.mark.parametrize("name", ["dct", "sinusoid"])
def test_any_size_will_do(name: str, size: int) -> None:
    assert _change(name, 1, size).shape == (3, size, size)


def test_cosines_and_wave_are_about_as_strong() -> None:
    strengths = [
        torch.stack([_change(name, seed) for seed in range(9)]).square().mean().sqrt()
        for name in ("dct", "sinusoid")
    ]
    assert 0.9 < (strengths[0] / strengths[1]).item() < 1.1
