"""Pictures are encoded once, and said of them is what the classifier says."""

from __future__ import annotations

import pytest
import torch

from inspector.clip.backbone import load_backbone
from inspector.clip.prompt_tuning import new_learner
from tests.support.assembling import pixels_of
from tests.zoo.encoding import PART, _known, classes_of, features_of


def test_a_picture_that_was_seen_is_not_encoded_again() -> None:
    backbone = load_backbone("pocket")
    generator = torch.Generator().manual_seed(3)
    one, other = (
        new_learner(backbone, ["cat", "dog", "red square"], conditioned=True, generator=generator)
        for _ in range(2)
    )
    pixels = pixels_of(backbone, PART + 3)
    features = features_of(one, pixels)
    with torch.no_grad():
        assert torch.allclose(features, one.image_features(pixels), atol=1e-5)
        assert torch.equal(classes_of(one, pixels), one(pixels).argmax(1))
    before = other.work.image_forward
    mixed = torch.cat([pixels[5:9], 1 - pixels[:2]])
    assert torch.equal(features_of(other, mixed)[:4], features[5:9])
    assert other.work.image_forward - before == PART


@pytest.mark.parametrize("number", [1, 3])
def test_features_do_not_tell_what_was_encoded_before(number: int) -> None:
    backbone = load_backbone("pocket")
    generator = torch.Generator().manual_seed(3)
    learner = new_learner(backbone, ["cat", "dog"], conditioned=True, generator=generator)
    pixels = pixels_of(backbone, PART, seed=41)
    _known(backbone).clear()
    alone = features_of(learner, pixels)
    _known(backbone).clear()
    features_of(learner, pixels[number:])
    assert torch.equal(features_of(learner, pixels), alone)
