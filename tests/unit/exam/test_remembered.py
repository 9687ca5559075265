"""What is remembered is to the last bit what would have been computed, and nobody else's."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.probes import loading
from inspector.profiles import PROFILES
from inspector.run import prepare
from tests.exam import remembered
from tests.exam.remembered import Remembering, remembered_probes
from tests.support.assembling import pixels_of


@pytest.fixture(scope="module")
def plain() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture
def encoded(plain: Backbone, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures every pass of any backbone's encoder has had."""
    sizes: list[int] = []
    own = Backbone.raw_image_features

    def counted(self: Backbone, pixels: Tensor) -> Tensor:
        sizes.append(len(pixels))
        return own(self, pixels)

    monkeypatch.setattr(Backbone, "raw_image_features", counted)
    remembered._kept.clear()
    return sizes


@torch.no_grad()
def test_a_batch_is_encoded_once(plain: Backbone, encoded: list[int]) -> None:
    backbone, pixels = Remembering.of(plain), pixels_of(plain)
    expected = plain.image_features(pixels)
    assert all(torch.equal(backbone.image_features(pixels), expected) for _ in range(3))
    assert encoded == [4, 4]
    # Other values, another division into batches: other keys.
    backbone.image_features(pixels[:2])
    backbone.image_features(pixels + 1e-6)
    assert encoded == [4, 4, 2, 4]


@torch.no_grad()
def test_who_changes_what_he_was_given_changes_nothing_else(plain: Backbone) -> None:
    backbone, pixels = Remembering.of(plain), pixels_of(plain)
    expected = backbone.raw_image_features(pixels).clone()
    backbone.raw_image_features(pixels).zero_()
    assert torch.equal(backbone.raw_image_features(pixels), expected)


@torch.no_grad()
def test_changed_encoders_are_asked_anew(plain: Backbone) -> None:
    backbone, pixels = Remembering.of(plain), pixels_of(plain)
    before = backbone.image_features(pixels)
    model = copy.deepcopy(backbone.model)
    next(model.visual.parameters()).mul_(1.5)
    changed = replace(backbone, model=model)
    assert not torch.equal(changed.image_features(pixels), before)
    assert torch.equal(backbone.image_features(pixels), before)


def test_gradients_flow(plain: Backbone, encoded: list[int]) -> None:
    backbone = Remembering.of(plain)
    with torch.no_grad():
        backbone.image_features(pixels_of(plain))
    for _ in range(2):
        pixels = pixels_of(plain).requires_grad_()
        (gradient,) = torch.autograd.grad(backbone.image_features(pixels).sum(), pixels)
        assert gradient.abs().max() > 0
    assert encoded == [4, 4, 4]


@torch.no_grad()
def test_what_is_kept_is_bounded(
    plain: Backbone, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "BATCHES", 2)
    backbone = Remembering.of(plain)
    for seed in (1, 2, 3, 3, 2, 1):
        backbone.image_features(pixels_of(plain, seed=seed))
    assert len(encoded) == 4
    assert [len(kept) for kept in remembered._kept.values()] == [2]


def test_probes_are_read_once_within_and_as_before_after() -> None:
    asked = ("builtin", 48, replace(PROFILES["quick"], probes=4, held_out=4))
    with remembered_probes():
        first = prepare.load_pools(*asked)  # type: ignore[attr-defined]
        assert prepare.load_pools(*asked) is first  # type: ignore[attr-defined]
    assert prepare.load_pools is loading.load_pools  # type: ignore[attr-defined]
