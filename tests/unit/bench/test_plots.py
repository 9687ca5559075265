"""Pictures of rows: their figures against plain enumeration, and that each is drawn."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.bench.estimates import auroc
from tests.bench.models import Model
from tests.bench.plots import draw, found_from, roc

CLEAN = Model("a", 1, "clean", True, 6, None, True, "clean", None, 0.1, None, 0.3, None)
ATTACKED = Model("a", 1, "quiet", False, 6, 2, True, "backdoored", 2, 2.4, 0.8, 1.0, 2)


def test_the_area_under_the_curve_is_the_auroc() -> None:
    generator = np.random.default_rng(0)
    attacked = generator.normal(1, 1, 40).round(1).tolist()  # Rounded, so that there are ties.
    clean = generator.normal(0, 1, 30).round(1).tolist()
    false, true = roc(attacked, clean)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    area = sum(
        (b - a) * (c + d) / 2
        for (a, b), (c, d) in zip(pairwise(false), pairwise(true), strict=True)
    )
    assert area == pytest.approx(auroc(attacked, clean))


def test_attacks_are_counted_by_what_they_keep() -> None:
    missed = replace(ATTACKED, seed=2, verdict="clean", excess=0.95)
    undecided = replace(ATTACKED, seed=3, verdict="inconclusive", excess=0.6, score=None)
    models = [CLEAN, ATTACKED, missed, undecided]
    assert [found_from(models, step) for step in (0.5, 0.7, 0.9, 1.0)] == [
        (1, 3), (1, 2), (0, 1), (0, 0),
    ]  # fmt: skip


def test_every_picture_is_drawn_and_the_same_twice(tmp_path: Path) -> None:
    not_taken = replace(ATTACKED, seed=4, took=False, kind="siba")
    models = [CLEAN, replace(CLEAN, seed=2, kind="noisy", score=None), ATTACKED, not_taken]
    paths = draw(models, 2.0, tmp_path / "one")
    assert [path.name for path in paths] == ["roc.svg", "scores.svg", "keeps.svg"]
    for path in paths:
        assert path.read_text().lstrip().startswith("<?xml")
    scores = paths[1].read_text()
    # Without a score a model has no place in the first picture, nor the other detector's beside it.
    curves = paths[0].read_text()
    assert "1 attacked, 1 clean" in curves and "2 clean" not in curves
    assert "noisy" in scores and "siba" not in scores
    draw(models, 2.0, tmp_path / "two")
    for path in paths:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
