"""The name of the score changes with the rule, else calibrations of another rule would be believed."""

from __future__ import annotations

from hashlib import sha256
from types import ModuleType

from inspector import config, examination
from inspector.calibration.form import STATISTIC
from inspector.inversion import search, stock
from inspector.scoring import decide
from inspector.tuning import honest

RULE = (decide, stock, search, examination, honest, config)
SAME_RULE = "lead-16", "5a6c1c189df8"
"""Whoever changes a number of the rule finds this test failing: give STATISTIC another name, then
write both down here."""


def _numbers(module: ModuleType) -> list[tuple[str, str]]:
    """Constants in capitals, by name."""
    mine = {name: value for name, value in vars(module).items() if name.isupper()}
    return sorted((name, repr(value)) for name, value in mine.items())


def test_another_rule_has_another_name() -> None:
    told = repr([(module.__name__, _numbers(module)) for module in RULE])
    assert (STATISTIC, sha256(told.encode()).hexdigest()[:12]) == SAME_RULE
