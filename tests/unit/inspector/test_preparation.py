"""What a sweep spends on which classifier."""

from __future__ import annotations

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.config import PROFILES
from inspector.inversion import stock
from inspector.preparation import search_config
from inspector.tuning.learner import new_learner

NAMES = ["red circle", "blue star", "green square", "black cross"]


@pytest.mark.parametrize(
    ("count", "conditioned", "turns"), [(4, True, 2), (3, True, 1), (2, True, 1), (4, False, 1)]
)
def test_stock_triggers_take_turns_only_where_a_first_sweep_may_be_rough(
    vit: Backbone, count: int, conditioned: bool, turns: int
) -> None:
    """Not with few classes, whose leads scatter, and not beside a twin that took other turns."""
    generator = torch.Generator().manual_seed(0)
    learner = new_learner(vit, NAMES[:count], conditioned=conditioned, generator=generator)
    config = search_config(PROFILES["standard"], learner)
    assert config.turns == turns
    assert config.objective == ("prompt" if conditioned else "joint")
    assert config.displaces == (conditioned and count > 3)
    assert stock.images(48, turns) == 384 / turns
