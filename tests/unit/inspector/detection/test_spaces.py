"""Every space of triggers stays within its bounds, can be searched, and is the same for a seed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inspector.detection.spaces import Additive, Blend, Mask, TriggerSpace, Warp, spaces_of

SIZE, RADIUS = 32, 6 / 255
SPACES = spaces_of(RADIUS)


def pixels() -> Tensor:
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def drawn(space: TriggerSpace, seed: int = 0) -> tuple[Tensor, ...]:
    return space.draw(SIZE, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_pictures_stay_pictures_however_far_a_member_is_moved(space: TriggerSpace) -> None:
    for factor in (1, 1000, -1000):
        member = tuple(part * factor for part in drawn(space))
        shown = space.apply(member, pixels())
        assert shown.shape == pixels().shape
        assert float(shown.min()) >= 0 and float(shown.max()) <= 1


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_every_part_of_a_member_has_a_gradient(space: TriggerSpace) -> None:
    member = tuple(part.requires_grad_() for part in drawn(space))
    weights = torch.randn(pixels().shape, generator=torch.Generator().manual_seed(2))
    gradients = torch.autograd.grad((space.apply(member, pixels()) * weights).sum(), member)
    assert all(bool(one.isfinite().all()) and bool((one != 0).any()) for one in gradients)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_members_follow_from_the_seed(space: TriggerSpace) -> None:
    first, again, other = (space.apply(drawn(space, seed), pixels()) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first, pixels())


def test_the_ball_is_wider_than_the_published_one_and_bounded() -> None:
    space = next(one for one in SPACES if isinstance(one, Additive))
    assert space.radius > RADIUS
    changed = space.apply((torch.full((3, SIZE, SIZE), 50.0),), torch.full((1, 3, SIZE, SIZE), 0.5))
    assert torch.allclose(changed - 0.5, torch.tensor(space.radius))


def test_a_blend_is_the_share_of_one_picture() -> None:
    space = Blend(weight=0.25)
    white = (torch.full((3, SIZE, SIZE), 50.0),)
    assert torch.allclose(space.apply(white, pixels()), 0.75 * pixels() + 0.25)


def test_a_mask_covers_no_more_than_its_area() -> None:
    space = Mask(area=0.1)
    for factor in (0.0, 1.0, 5.0, 100.0):
        logits, picture = drawn(space)
        mask = space.mask((logits * factor, picture))
        assert float(mask.sum()) <= 0.1 * SIZE**2 * 1.001
        assert float(mask.min()) >= 0 and float(mask.max()) <= 1


def test_a_warp_moves_pixels_and_makes_no_new_values() -> None:
    space = Warp(reach=1 / 8)
    still = space.apply((torch.zeros(2, SIZE, SIZE),), pixels())
    assert torch.allclose(still, pixels(), atol=1e-4)
    right = torch.zeros(2, SIZE, SIZE)
    right[0] = 50
    moved = space.apply((right,), pixels())
    reach = SIZE // 8
    assert torch.allclose(moved[..., :-reach], pixels()[..., reach:], atol=1e-4)
