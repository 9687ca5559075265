"""What a sweep spends on which classifier."""

from __future__ import annotations

import pytest

from inspector.clip.backbone import Backbone
from inspector.detection import random_triggers
from inspector.detection.settings import search_config
from inspector.profiles import MAX_INVERTED, MAX_INVERTED_STATIC, PROFILES


@pytest.mark.parametrize(
    ("count", "conditioned", "splits"),
    [(6, True, 2), (5, True, 2), (3, True, 1), (2, True, 1), (4, False, 1)],
)
def test_stock_triggers_take_turns_only_where_a_first_sweep_may_be_rough(
    vit: Backbone, count: int, conditioned: bool, splits: int
) -> None:
    """Not with few classes, whose leads scatter."""
    config = search_config(PROFILES["standard"], vit, count, conditioned)
    assert config.trigger_splits == splits
    assert config.objective == ("prompt" if conditioned else "difference")
    assert config.local_first == (not conditioned)
    assert random_triggers.images(48, random_triggers.TriggerSplit(0, splits)) == 384 / splits


def test_on_pictures_of_the_task_triggers_that_cover_are_asked_at_once(vit: Backbone) -> None:
    config = search_config(PROFILES["standard"], vit, 6, True, in_distribution=True)
    assert config.local_first
    assert config.trigger_splits == 2


def test_only_what_was_screened_for_races(vit: Backbone) -> None:
    for profile in PROFILES.values():
        races = profile.name in ("quick", "standard")
        for conditioned, limit in ((True, MAX_INVERTED), (False, MAX_INVERTED_STATIC)):
            config = search_config(profile, vit, 50, conditioned)
            assert config.max_inverted_classes == (limit if races else None)
