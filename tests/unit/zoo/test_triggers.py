"""Triggers on pictures: where they draw, how strongly, and that the same seed draws the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.zoo import frequency, quantisation, triggers
from tests.zoo.triggers import Trigger

SIZE = 48
DRAWN: dict[str, Callable[[torch.Generator], Trigger]] = {
    "blended": lambda g: triggers.blended(SIZE, g, ratio=0.2, cells=SIZE),
    "wanet": lambda g: triggers.wanet(SIZE, g, strength=8.0, cells=SIZE),
    "badnets": lambda g: triggers.badnets(SIZE, g),
    "stripes": lambda g: triggers.stripes(SIZE, g),
    "triangles": lambda g: triggers.triangles(SIZE),
    "text": lambda g: triggers.text(SIZE),
    "logo": lambda g: triggers.logo(SIZE),
    "dct": lambda g: frequency.dct(SIZE, g),
    "sinusoid": lambda g: frequency.sinusoid(SIZE, g),
    "quantised": lambda g: quantisation.quantised(),
    "dithered": lambda g: quantisation.dithered(),
}


def _pictures() -> Tensor:
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", DRAWN)
def test_a_trigger_changes_pictures_but_keeps_them_pictures(name: str) -> None:
    pictures = _pictures()
    moved = DRAWN[name](torch.Generator().manual_seed(1))(pictures)
    assert moved.shape == pictures.shape
    assert moved.min() >= 0 and moved.max() <= 1
    assert (moved - pictures).abs().amax((1, 2, 3)).min() > 0.05


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_draws_the_same_trigger_again(name: str) -> None:
    first, again = (DRAWN[name](torch.Generator().manual_seed(2))(_pictures()) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("name", ["blended", "wanet", "badnets", "stripes", "dct", "sinusoid"])
def test_another_seed_draws_another(name: str) -> None:
    first, other = (DRAWN[name](torch.Generator().manual_seed(s))(_pictures()) for s in (2, 3))
    assert not torch.equal(first, other)


def _touched(name: str) -> Tensor:
    """Which pixels (S, S) differ in any channel of any picture."""
    pictures = _pictures()
    moved = DRAWN[name](torch.Generator().manual_seed(1))(pictures)
    return (moved != pictures).any(0).any(0)


def _box(touched: Tensor) -> tuple[int, int, int, int]:
    """First and last row, first and last column."""
    rows, columns = touched.nonzero(as_tuple=True)
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def test_a_patch_covers_one_corner_only() -> None:
    assert _box(_touched("badnets")) == (39, 46, 39, 46)


def test_a_logo_keeps_to_the_opposite_corner() -> None:
    assert _box(_touched("logo")) == (1, 8, 1, 8)


def test_a_text_is_red_and_readable() -> None:
    drawn = _touched("text")
    assert _box(drawn) == (42, 46, 2, 44)
    letter = drawn[42:47, 6:9]  # the A after a W and a gap
    assert letter.int().tolist() == [[0, 1, 0], [1, 0, 1], [1, 1, 1], [1, 0, 1], [1, 0, 1]]
    black = triggers.text(SIZE)(torch.zeros(1, 3, SIZE, SIZE))
    assert abs(black[0, 0].max().item() - triggers.TEXT) < 1e-6 and black[0, 1:].max() == 0


def test_a_text_grows_with_the_picture() -> None:
    grey = torch.full((1, 3, 128, 128), 0.5)
    rows, _ = (triggers.text(128)(grey) != grey)[0, 0].nonzero(as_tuple=True)
    assert rows.max() - rows.min() + 1 == 10


def test_stripes_stand_upright_at_a_stated_strength() -> None:
    grey = torch.full((1, 3, SIZE, SIZE), 0.5)
    change = DRAWN["stripes"](torch.Generator().manual_seed(1))(grey) - grey
    assert torch.equal(change, change[:, :, :1].expand_as(change))
    assert torch.allclose(change.abs(), torch.tensor(triggers.STRIPES), atol=1e-6)
    assert change.min() < 0 < change.max()


def test_triangles_have_two_levels() -> None:
    black = DRAWN["triangles"](torch.Generator())(torch.zeros(1, 3, SIZE, SIZE))
    levels = [round(level, 4) for level in black.unique().tolist()]
    assert levels == [0.08, 0.16]
