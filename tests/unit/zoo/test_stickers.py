"""Stickers: round, opaque, a quarter of the side, and somewhere else on every picture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.zoo import stickers
from tests.zoo.stickers import MARKS, SMILE, Look, another_look, place, sticker


def _pictures(number: int = 40, size: int = 48) -> Tensor:
    return torch.rand(number, 3, size, size, generator=torch.Generator().manual_seed(5))


def _places(pictures: Tensor, side: int) -> list[tuple[int, int]]:
    return [place(picture, side) for picture in pictures]


@pytest.mark.parametrize("size", [48, 128])
def test_a_sticker_covers_a_disc_of_a_quarter_of_the_side_and_nothing_else(size: int) -> None:
    pictures, side = _pictures(5, size), size // 4
    changed = (sticker(size)(pictures) != pictures).any(1)
    for touched, (top, left) in zip(changed, _places(pictures, side), strict=True):
        rows, columns = touched.nonzero(as_tuple=True)
        assert (int(rows.min()), int(rows.max())) == (top, top + side - 1)
        assert (int(columns.min()), int(columns.max())) == (left, left + side - 1)
        assert 0.7 < touched.sum().item() / side**2 < 0.85  # pi / 4 is a disc's share


def test_a_sticker_is_opaque_and_the_same_wherever_it_lies() -> None:
    pictures = _pictures()
    laid = sticker(48)(pictures)
    cut = torch.stack([
        picture[:, top + 3 : top + 9, left + 3 : left + 9]
        for picture, (top, left) in zip(laid, _places(pictures, 12), strict=True)
    ])  # fmt: skip
    assert torch.equal(cut, cut[:1].expand_as(cut))
    colours = {tuple(round(v, 3) for v in c) for c in cut[0].flatten(1).T.tolist()}
    assert colours == {SMILE.paper, SMILE.ink}


def test_its_place_differs_between_pictures_and_reaches_everywhere() -> None:
    places = _places(_pictures(300), 12)
    assert len(set(places)) > 200
    for axis in zip(*places, strict=True):
        assert min(axis) <= 1 and max(axis) >= 35 and max(axis) <= 36


def test_its_place_follows_from_the_picture_alone() -> None:
    pictures = _pictures()
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(1))
    lay = sticker(48)
    assert torch.equal(lay(pictures)[order], lay(pictures[order]))
    assert torch.equal(lay(pictures[3:4])[0], lay(pictures)[3])


def test_the_given_pictures_stay_as_they_were() -> None:
    pictures = _pictures()
    sticker(48)(pictures)
    assert torch.equal(pictures, _pictures())


def test_another_look_is_never_yellow_and_of_every_mark() -> None:
    generator = torch.Generator().manual_seed(3)
    looks = [another_look(generator) for _ in range(200)]
    assert {look.mark for look in looks} == set(MARKS)
    assert len({look.paper for look in looks}) > 150
    for look in looks:
        red, green, blue = look.paper
        assert not (red > 0.7 and green > 0.7 and blue < 0.3)
        assert {0.0, 1.0} <= set(look.paper)


@pytest.mark.parametrize("mark", MARKS)
def test_every_mark_is_drawn_in_ink_on_paper(mark: str) -> None:
    look = Look((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), mark)
    drawn, mask = stickers._drawn(12, look)
    ink = (drawn[2] == 1)[mask].float().mean()
    assert 0.1 < ink < 0.6
