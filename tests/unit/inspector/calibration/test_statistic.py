"""The name of the score changes with the score, else calibrations of another rule would be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from hashlib import sha256
from random import Random
from typing import Any

import torch

from inspector import profiles
from inspector.detection import objectives, random_triggers, score, sequential
from inspector.detection.effects import Effect
from inspector.detection.evidence import Inverted, Outcome
from inspector.detection.rule import current
from inspector.detection.triggers import Added
from inspector.profiles import RANDOM
from inspector.reference import benign_models

SAME_RULE = "lead-16", ("8c0596df0815", "ac06dfde949b")
"""Whoever changes a number or a formula of the rule finds a test failing: give STATISTIC another name,
then write it down here with both hashes. Names of modules, constants and fields do not count."""


def values() -> list[Any]:
    """What a score is computed from, beside the formulas."""
    rule = current()
    return [
        astuple(rule.conditioned), rule.prob_gain_weight, rule.top_families, rule.few_classes,
        rule.several_classes, rule.null_q95, rule.null_q95_prob_gain, rule.null_q95_three_classes,
        rule.two_classes, *astuple(rule.bias), rule.null_q95_in_distribution,
        astuple(rule.static), rule.null_q90_static_own, rule.null_q90_static,
        random_triggers.FINE_WARPS, random_triggers.FINE_BLENDS, random_triggers.COARSE_WARPS,
        random_triggers.COARSE_BLENDS, random_triggers.PATCHES, random_triggers.STROKES,
        random_triggers.PEN, random_triggers.LENGTHS, random_triggers.INK,
        random_triggers.GLOBAL, random_triggers.LOCAL, random_triggers.SHARES,
        objectives.ANCHORS, objectives.RIVALS, sequential.CONTENDERS,
        benign_models.BATCH, benign_models.SHARES, benign_models.NOISES, benign_models.RAREST,
        benign_models.DISTURBED, benign_models.RATES, benign_models.UPDATES,
        benign_models.FEWEST_PICTURES,
        {name: astuple(profile) for name, profile in profiles.PROFILES.items()},
        profiles.MINIMUM_PROBES, profiles.RADII,
    ]  # fmt: skip


def outcomes(random: Random, classes: int) -> list[Outcome]:
    """What a search may find: of every third class no trigger was sought."""

    def effect() -> Effect:
        return Effect(random.uniform(0, 0.6), random.uniform(-0.05, 0.3), random.uniform(0, 0.4))

    def inverted() -> Inverted:
        margin, gain, asr, base, reference = (random.random() for _ in range(5))
        return Inverted(Added(torch.zeros(1)), margin, gain, asr, base, reference, effect())

    return [
        Outcome(
            target,
            None if target % 3 == 2 else inverted(),
            effect(),
            {family: effect() for family in random_triggers.SHARES},
            random.uniform(-0.2, 0.3),
        )
        for target in range(classes)
    ]


def scores() -> list[Any]:
    """Scores of made-up outcomes; only Python's own arithmetic, so the same everywhere."""
    random, told = Random(16), []
    for classes in (2, 3, 4, 6, 12):
        for sweeps in (1, 2, 3):
            found = outcomes(random, classes)
            for conditioned, in_distribution in ((True, False), (True, True), (False, False)):
                judgement = score.judge(
                    found, sweeps, is_conditioned=conditioned, in_distribution=in_distribution
                )
                told.append((judgement.score, judgement.per_class, judgement.suspects))
    return told


def test_another_rule_has_another_name() -> None:
    assert (RANDOM, (_hash(values()), _hash(scores()))) == SAME_RULE


def _hash(value: object) -> str:
    return sha256(repr(_sorted(value)).encode()).hexdigest()[:12]


def _sorted(value: Any) -> Any:
    """Mappings by key, everything in tuples."""
    if isinstance(value, Mapping):
        return tuple(sorted((key, _sorted(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(_sorted(item) for item in value)
    return value
