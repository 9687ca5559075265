"""The comparison itself: what it lets pass and what it shows."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.golden.comparing import differences

FIGURES: dict[str, Any] = {
    "verdict": "clean",
    "work": {"image_forward": 440},
    "classes": [{"score": 1.0, "asr": 0.5, "target": None}],
}


def changed(**of_class: Any) -> dict[str, Any]:
    other = deepcopy(FIGURES)
    other["classes"][0].update(of_class)
    return other


@pytest.mark.parametrize("same", [True, False])
def test_what_never_may_differ(same: bool) -> None:
    assert differences(FIGURES, deepcopy(FIGURES), same=same) == []
    for other, path in (
        (FIGURES | {"verdict": "suspicious"}, "verdict"),
        (FIGURES | {"work": {"image_forward": 441}}, "work.image_forward"),
        (FIGURES | {"classes": []}, "classes"),
        (FIGURES | {"new": 1}, "new"),
        (changed(target=0), "classes[0].target"),
        (changed(score=1), "classes[0].score"),
    ):
        (line,) = differences(FIGURES, other, same=same)
        assert line.startswith(f"{path}:")


def test_a_few_pictures_may_flip_on_another_machine_only() -> None:
    flipped = changed(asr=0.5 + 2 / 32, score=1.3)
    assert len(differences(FIGURES, flipped, same=True)) == 2
    assert differences(FIGURES, flipped, same=False) == []
    assert differences(FIGURES, changed(asr=0.5 + 6 / 32), same=False)
    assert differences(FIGURES, changed(score=1.6), same=False)
