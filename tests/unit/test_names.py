"""Names that app and inspector share without importing one another."""

from __future__ import annotations

import json
from typing import get_args

from app.inspections import policy
from inspector import report
from inspector.cli import exits, options
from inspector.cli.trojai import SCHEMA
from inspector.profiles import PROFILES


def test_profiles() -> None:
    enum = json.loads(SCHEMA.read_text("utf-8"))["properties"]["profile"]["enum"]
    assert get_args(policy.Profile) == get_args(options.ProfileName) == tuple(PROFILES)
    assert tuple(enum) == tuple(PROFILES)


def test_verdicts() -> None:
    assert get_args(policy.Verdict) == get_args(report.Verdict)
    assert get_args(policy.FailOn) == get_args(exits.FailOn)
