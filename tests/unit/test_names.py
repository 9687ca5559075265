"""Names that app and inspector share without importing one another."""

from __future__ import annotations

from typing import get_args

from app.inspections import policy
from inspector import report
from inspector.cli import exits
from inspector.options import Options, Policy, specs
from inspector.profiles import PROFILES


def test_profiles() -> None:
    (profile,) = (spec for spec in specs(Options) if spec.name == "profile")
    assert get_args(policy.Profile) == profile.choices == tuple(PROFILES)


def test_verdicts() -> None:
    assert get_args(policy.Verdict) == get_args(report.Verdict)
    (fail_on,) = specs(Policy)
    assert get_args(policy.FailOn) == get_args(exits.FailOn) == fail_on.choices
