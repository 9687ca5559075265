"""The rule's numbers, read from `rules/<id>.json`, where each table says where it comes from.

A table is values with their provenance: of which quantile, of how many models, from which CSV of
`tests/bench` (by its sha256), in which experiment of the log, and whether attacks were seen when it
was set. What the numbers mean is `inspector.detection.score`'s; they hold for any backbone as far
as those do that they were set on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from inspector.detection.judgement import Thresholds
from inspector.files import read_json

RULES = Path(__file__).with_name("rules")
CURRENT = "lead-16"
MOST_SWEEPS = 3
"""Null quantiles of few classes are known after one, two and three sweeps."""


@dataclass(frozen=True)
class Bias:
    """Unit of the clean prediction bias, a probability, and its bounds, in such units."""

    unit: float
    least: float
    most: float


@dataclass(frozen=True)
class Rule:
    """All tables of one file. Null quantiles are by family of triggers.

    Attributes:
        conditioned: thresholds of prompts that read the picture.
        prob_gain_weight: weight of prob_gain in their evidence.
        top_families: so many families' leads are averaged.
        few_classes: with so many or fewer, leads scatter more.
        several_classes: with so many or fewer, prob_gain alone is no second reading.
        null_q95: lead that one clean model in twenty exceeds.
        null_q95_prob_gain: the same of prob_gain alone.
        null_q95_three_classes: with three classes, after one, two and three sweeps: pooling
            steadies leads there, but only models that lead are swept again.
        two_classes: so many times as much with two classes.
        null_q95_in_distribution: on pictures of what the model is for.
        bias: see there.
        static: thresholds of everything else.
        null_q90_static_own: lead that one honest model in ten exceeds under
            its own inverted trigger.
        null_q90_static: the same under random triggers.
        families_examined: families of checkpoints that the experiments used.
    """

    id: str
    conditioned: Thresholds
    prob_gain_weight: float
    top_families: int
    few_classes: int
    several_classes: int
    null_q95: Mapping[str, float]
    null_q95_prob_gain: Mapping[str, float]
    null_q95_three_classes: Mapping[str, tuple[float, ...]]
    two_classes: float
    null_q95_in_distribution: Mapping[str, float]
    bias: Bias
    static: Thresholds
    null_q90_static_own: float
    null_q90_static: Mapping[str, float]
    families_examined: tuple[str, ...]

    def null_of(self, classes: int, sweeps: int) -> Mapping[str, float]:
        """By family, the null quantile of a conditioned prompt's lead."""
        if classes > self.few_classes:
            return self.null_q95
        index = min(sweeps, MOST_SWEEPS) - 1
        times = self.two_classes if classes == 2 else 1.0
        return {name: times * of[index] for name, of in self.null_q95_three_classes.items()}


def read(path: Path) -> Rule:
    """The rule of a file of ours.

    Raises:
        KeyError, TypeError: a table is missing or is another one.
    """
    data: dict[str, Any] = read_json(path)
    values: dict[str, Any] = {name: table["values"] for name, table in data["tables"].items()}
    return Rule(
        id=data["id"],
        conditioned=Thresholds(**values["conditioned"]),
        **values["conditioned_form"],
        null_q95=values["null_q95"],
        null_q95_prob_gain=values["null_q95_prob_gain"],
        null_q95_three_classes={
            name: tuple(of) for name, of in values["null_q95_three_classes"].items()
        },
        two_classes=values["two_classes"]["factor"],
        null_q95_in_distribution=values["null_q95_in_distribution"],
        bias=Bias(**values["clean_prediction_bias"]),
        static=Thresholds(**values["static"]),
        null_q90_static_own=values["null_q90_static_own"]["own"],
        null_q90_static=values["null_q90_static"],
        families_examined=tuple(data["families_examined"]),
    )


@cache
def current() -> Rule:
    """The rule that decides."""
    return read(RULES / f"{CURRENT}.json")
