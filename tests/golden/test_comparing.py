"""The comparison itself: what it lets pass and what it shows."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.golden.comparing import (
    Near,
    as_drawn,
    as_measured_elsewhere,
    as_measured_here,
    differences,
    exactly,
)

FIGURES: dict[str, Any] = {
    "verdict": "clean",
    "work": {"image_forward": 440},
    "classes": [{"score": 1.0, "asr": 0.5, "target": None}],
}


def changed(**of_class: Any) -> dict[str, Any]:
    other = deepcopy(FIGURES)
    other["classes"][0].update(of_class)
    return other


@pytest.mark.parametrize("near", [exactly, as_drawn, as_measured_here, as_measured_elsewhere])
def test_what_never_may_differ(near: Near) -> None:
    assert differences(FIGURES, deepcopy(FIGURES), near) == []
    for other, path in (
        (FIGURES | {"verdict": "suspicious"}, "verdict"),
        (FIGURES | {"work": {"image_forward": 441}}, "work.image_forward"),
        (FIGURES | {"classes": []}, "classes"),
        (FIGURES | {"new": 1}, "new"),
        (changed(target=0), "classes[0].target"),
        (changed(score=1), "classes[0].score"),
    ):
        (line,) = differences(FIGURES, other, near)
        assert line.startswith(f"{path}:")


def test_a_few_pictures_may_flip_on_another_machine_only() -> None:
    flipped = changed(asr=0.5 + 2 / 32, score=1.05)
    assert len(differences(FIGURES, flipped, as_measured_here)) == 2
    assert differences(FIGURES, flipped, as_measured_elsewhere) == []
    assert differences(FIGURES, changed(asr=0.5 + 6 / 32), as_measured_elsewhere)
    assert differences(FIGURES, changed(score=1.3), as_measured_elsewhere)


def test_a_constant_may_not_differ_at_all() -> None:
    assert differences({"patch": 0.0097}, {"patch": 0.0098}, exactly)
    assert differences({"patch": [1.0]}, {"patch": [1.0000001]}, exactly)
