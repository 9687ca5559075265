"""A bank of honest models that applies to whatever is inspected."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.calibration import Applied, Inspected, made

SCORES = tuple(i / 1000 for i in range(100))
"""Of a hundred honest models: accused from 0.098, warned of from 0.095 on."""


def with_bank(monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...] = SCORES) -> None:
    """Let every inspection find one."""

    def found(given: Path | None, folder: Path | None, inspected: Inspected) -> Applied:
        models = [(score, {"seed": index}) for index, score in enumerate(scores)]
        here = inspected.backbone, inspected.classes
        bank = made(here, "CoCoOp", inspected.profile, inspected.probes, inspected.seed, models)
        return Applied(bank, same_classes=True, same_seed=True)

    monkeypatch.setattr("inspector.run.stages.found", found)
