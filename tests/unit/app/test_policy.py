"""The contract's table of verdicts, results and exit codes."""

from __future__ import annotations

import pytest

from app.client.gate.exits import exit_code
from app.inspections.policy import FailOn, Result, Verdict, result_of


@pytest.mark.parametrize(
    ("verdict", "fail_on", "critical", "result", "code"),
    [
        ("clean", "suspicious", 0, "pass", 0),
        ("suspicious", "suspicious", 0, "fail", 1),
        ("suspicious", "backdoored", 0, "warn", 0),
        ("backdoored", "suspicious", 0, "fail", 1),
        ("backdoored", "backdoored", 0, "fail", 1),
        ("inconclusive", "suspicious", 0, "fail", 3),
        ("inconclusive", "backdoored", 0, "fail", 3),
        ("inconclusive", "suspicious", 1, "fail", 1),
        ("suspicious", "backdoored", 1, "warn", 1),
    ],
)
def test_the_table(
    verdict: Verdict, fail_on: FailOn, critical: int, result: Result, code: int
) -> None:
    assert result_of(verdict, fail_on) == result
    assert exit_code("succeeded", verdict, result, critical) == code


@pytest.mark.parametrize("status", ["failed", "canceled", "expired"])
def test_no_verdict_is_an_error(status: str) -> None:
    assert exit_code(status, None, None, 0) == 2
