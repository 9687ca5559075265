"""Constants and random draws, apart from any model."""

from __future__ import annotations

from tests.golden import golden


def test_every_constant_that_reaches_a_verdict() -> None:
    golden.check("rule", golden.rule())


def test_what_random_numbers_become() -> None:
    golden.check("draws", golden.drawn())
