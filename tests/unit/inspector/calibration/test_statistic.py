"""The name of the score changes with the score, else calibrations of another rule would be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from hashlib import sha256
from random import Random
from typing import Any

import torch
from torch import Tensor

from inspector import profiles
from inspector.detection import contrast, random_reading, random_triggers, spaces, twin_test
from inspector.detection.excess import Said, excess
from inspector.detection.random_reading import RandomReading
from inspector.reference import benign_models
from inspector.twins import linear

SAME_RULE = "twins-3", ("dd4d572f3fdb", "594ca480b8cd")
"""Whoever changes a number or a formula of the score finds a test failing: give the statistic another name,
then write it down here with both hashes. Names of modules, constants and fields do not count."""


def values() -> list[Any]:
    """What a score is computed from, beside the formulas."""
    return [
        {name: astuple(profile)[1:] for name, profile in profiles.PROFILES.items()},
        profiles.MINIMUM_PROBES, profiles.RADII,
        twin_test.OPEN, twin_test.CONTENDERS, contrast.LEAST_RATE,
        {one.name: {**vars(one), "members": one.members} for one in spaces.spaces_of(0.01)},
        twin_test.RANDOM_WEIGHT, twin_test.RANDOM_EVAL, random_reading.LEADING,
        random_triggers.SHARES, random_triggers.FINE_WARPS, random_triggers.FINE_BLENDS,
        random_triggers.COARSE_WARPS, random_triggers.COARSE_BLENDS, random_triggers.PATCHES,
        random_triggers.STROKES, random_triggers.PEN, random_triggers.LENGTHS,
        random_triggers.INK, random_triggers.FILMS, random_triggers.TONE, random_triggers.BENDS,
        random_triggers.COLOURED,
        linear.STRENGTHS, linear.TOLERANCE, linear.STEPS, linear.RATE,
        benign_models.BATCH, benign_models.SHARES, benign_models.NOISES, benign_models.RAREST,
        benign_models.DISTURBED, benign_models.RATES, benign_models.UPDATES,
        benign_models.FEWEST_PICTURES,
    ]  # fmt: skip


def said(random: Random, number: int, classes: int) -> Tensor:
    return torch.tensor([random.randrange(classes) for _ in range(number)])


def scores() -> list[Any]:
    """Excesses and scores of made-up answers; counts and one division, so the same everywhere."""
    random, told = Random(16), []
    for classes in (2, 3, 6, 12):
        clean, moved = (
            Said(said(random, 64, classes), (said(random, 64, classes), said(random, 64, classes)))
            for _ in range(2)
        )
        half = torch.tensor([random.random() < 0.5 for _ in range(64)])
        followed = Said(
            moved.own, (torch.where(half, clean.twins[0], moved.twins[0]), clean.twins[1])
        )
        found = excess(clean, followed, classes)
        told.append([round(float(value), 6) for value in found.value])
        drawn = RandomReading({"warp": torch.stack([found.carried, found.strayed] * 4)})
        told.append(
            [round(twin_test.joined(0.1, drawn.value(target)), 5) for target in range(classes)]
        )
    return told


def test_another_rule_has_another_name() -> None:
    assert (profiles.TWINS, (_hash(values()), _hash(scores()))) == SAME_RULE


def _hash(value: object) -> str:
    return sha256(repr(_sorted(value)).encode()).hexdigest()[:12]


def _sorted(value: Any) -> Any:
    """Mappings by key, everything in tuples."""
    if isinstance(value, Mapping):
        return tuple(sorted((key, _sorted(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(_sorted(item) for item in value)
    return value
