"""A bank of honest models that applies to whatever is inspected."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.calibration import Applied, ClassNames, Inspected, Probes, Weights, made
from inspector.profiles import PROFILES

SCORES = tuple(i / 1000 for i in range(100))
"""Of a hundred honest models: accused from 0.098, warned of from 0.095 on."""


WEIGHTS = Weights("ab" * 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def applied(scores: tuple[float, ...] = SCORES) -> Applied:
    """As a report has it, for what tells of a verdict and decides none."""
    models = [(score, {"seed": index}) for index, score in enumerate(scores)]
    names, probes = ClassNames.of(("cat", "dog", "fox")), Probes("cd" * 32, (256, 250))
    bank = made((WEIGHTS, names), "CoOp", PROFILES["standard"], probes, 3, models)
    return Applied(bank, same_classes=True, same_seed=True)


def with_bank(monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...] = SCORES) -> None:
    """Let every inspection find one."""

    def found(given: Path | None, folder: Path | None, inspected: Inspected) -> Applied:
        models = [(score, {"seed": index}) for index, score in enumerate(scores)]
        here = inspected.backbone, inspected.classes
        bank = made(here, "CoCoOp", inspected.profile, inspected.probes, inspected.seed, models)
        return Applied(bank, same_classes=True, same_seed=True)

    monkeypatch.setattr("inspector.run.stages.found", found)
