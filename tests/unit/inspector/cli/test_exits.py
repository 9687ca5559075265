"""The contract's table of verdicts and exit codes."""

from __future__ import annotations

import pytest

from inspector.cli.exits import FailOn, exit_of_reading, exit_of_report
from inspector.findings import Finding, Severity


@pytest.mark.parametrize(
    ("verdict", "severities", "fail_on", "code"),
    [
        ("clean", [], "suspicious", 0),
        ("clean", ["info", "low"], "backdoored", 0),
        ("suspicious", [], "suspicious", 1),
        ("suspicious", [], "backdoored", 0),
        ("backdoored", [], "suspicious", 1),
        ("backdoored", [], "backdoored", 1),
        ("inconclusive", [], "suspicious", 3),
        ("inconclusive", ["high"], "backdoored", 3),
        ("inconclusive", ["info", "critical"], "backdoored", 1),
    ],
)
def test_reports(verdict: str, severities: list[str], fail_on: FailOn, code: int) -> None:
    findings = [{"id": "x", "severity": severity, "message": ""} for severity in severities]
    assert exit_of_report({"verdict": verdict, "findings": findings}, fail_on) == code


def test_readings() -> None:
    critical = Finding("pickle-code-execution", Severity.CRITICAL, "")
    high = Finding("zip-truncated", Severity.HIGH, "")
    assert exit_of_reading(True, []) == 0
    assert exit_of_reading(True, [high]) == 0
    assert exit_of_reading(False, [high]) == 3
    assert exit_of_reading(False, [critical, high]) == 1
