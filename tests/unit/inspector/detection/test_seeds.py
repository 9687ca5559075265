"""Seeds are what they always were: calibrations and reports rest on what they draw."""

from __future__ import annotations

from typing import get_args

import pytest

from inspector.detection.seeds import Purpose, derive_seed


@pytest.mark.parametrize(
    ("purpose", "index", "made"),
    [
        ("sweep", 2, 9),
        ("random triggers", 0, 14),
        ("inversion", 3, 700_024),
        ("unlearning", 0, 106),
        ("repair check", 0, 107),
        ("benign model", 4, 7_000_025),
    ],
)
def test_what_is_made_of_seed_seven(purpose: Purpose, index: int, made: int) -> None:
    assert derive_seed(7, purpose, index) == made


def test_what_teaches_a_repair_is_none_of_what_judges_it() -> None:
    judging = {derive_seed(derive_seed(0, "repair check"), "sweep", sweep) for sweep in range(3)}
    searching = {derive_seed(0, "sweep", sweep) for sweep in range(3)}
    searching |= {derive_seed(one, "random triggers") for one in searching}
    judging |= {derive_seed(one, "random triggers") for one in judging}
    assert derive_seed(0, "unlearning") not in judging | searching
    assert not judging & searching


def test_every_purpose_is_asked_about_here() -> None:
    asked = {
        "sweep", "random triggers", "inversion", "unlearning", "repair check", "benign model",
    }  # fmt: skip
    assert set(get_args(Purpose)) == asked
