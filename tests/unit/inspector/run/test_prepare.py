"""What a sweep spends on which classifier."""

from __future__ import annotations

import pytest

from inspector.clip.backbone import Backbone
from inspector.detection import random_triggers
from inspector.detection.settings import search_config
from inspector.profiles import PROFILES, RACED, RACED_STATIC


@pytest.mark.parametrize(
    ("count", "conditioned", "turns"),
    [(6, True, 2), (5, True, 2), (3, True, 1), (2, True, 1), (4, False, 1)],
)
def test_stock_triggers_take_turns_only_where_a_first_sweep_may_be_rough(
    vit: Backbone, count: int, conditioned: bool, turns: int
) -> None:
    """Not with few classes, whose leads scatter."""
    config = search_config(PROFILES["standard"], vit, count, conditioned)
    assert config.turns == turns
    assert config.objective == ("prompt" if conditioned else "difference")
    assert config.covers == (not conditioned)
    assert random_triggers.images(48, random_triggers.Turn(0, turns)) == 384 / turns


def test_on_pictures_of_the_task_triggers_that_cover_are_asked_at_once(vit: Backbone) -> None:
    config = search_config(PROFILES["standard"], vit, 6, True, in_distribution=True)
    assert config.covers
    assert config.turns == 2


def test_only_what_was_screened_for_races(vit: Backbone) -> None:
    for profile in PROFILES.values():
        races = profile.name in ("quick", "standard")
        for conditioned, limit in ((True, RACED), (False, RACED_STATIC)):
            config = search_config(profile, vit, 50, conditioned)
            assert config.raced == (limit if races else None)
