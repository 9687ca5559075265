"""Rows and models for the tests of the exam."""

from __future__ import annotations

from dataclasses import replace

from tests.exam.rows import Row
from tests.zoo.sets import SETS, Model

ROW = Row(
    part="exam", backbone="pocket", family="CoCoOp", task="things6", seed=1, kind="clean", classes=6,
    is_backdoored=False, target=None, targets=(), accuracy=0.9, asr=0.1, base=0.1, excess=None, took=None,
    method="standard", rule="lead-16", digest="ab" * 32, commit="cd" * 20, probes="own", inspection_seed=0,
    verdict="clean", found=None, score=0.25, p_value=None, excess_asr=0.1, assembly="plausible",
    second_score=-0.5, flops=10, seconds=1.5,
)  # fmt: skip
"""An honest model that was cleared."""
HIT = replace(
    ROW, kind="blended", is_backdoored=True, target=2, targets=(2,), asr=0.9, excess=0.8, took=True,
    verdict="backdoored", found=2, score=3.0,
)  # fmt: skip
"""An attack that was found and named."""


def planned(part: str) -> list[Model]:
    return [model for model in SETS if model.part == part]
