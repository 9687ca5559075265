"""Logits for some classes are columns of those for all, whatever prompts and encoders there are."""

from __future__ import annotations

import pytest

from inspector.clip.backbone import Backbone
from tests.support.assembling import assert_columns, pixels_of
from tests.support.prompts import Recipe, tune
from tests.support.vendors import random
from tests.unit.inspector.clip.conftest import Build

NAMES = ("traffic light", "tall ship", "owl", "crow")


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(NAMES),
        Recipe(NAMES, position="middle", num_context=5),
        Recipe(NAMES, class_specific=True),
        Recipe(NAMES, class_specific=True, position="front"),
        Recipe(NAMES, conditioned=True),
    ],
)
def test_prompts(build: Build, vit: Backbone, recipe: Recipe) -> None:
    state = tune(vit.model, recipe).state
    assembly = build(state, vit, classnames=NAMES, class_token_position=recipe.position)
    assert_columns(assembly.classifier, pixels_of(vit))


def test_an_adapter(build: Build, vit: Backbone) -> None:
    size = vit.embed_dim
    state = {
        "fc.0.weight": random(8, size, seed=1), "fc.2.weight": random(size, 8, seed=2)
    }  # fmt: skip
    assert_columns(build(state, vit, classnames=NAMES).classifier, pixels_of(vit))
