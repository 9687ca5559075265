"""Exit codes of the command line and the rules that lead to them. Knows reports, not commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from inspector.findings import Finding, Severity, worst

FailOn = Literal["suspicious", "backdoored"]

PASS = 0
FAIL = 1
ERROR = 2
INCONCLUSIVE = 3
USAGE = 4
INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


def exit_of_report(report: Mapping[str, Any], fail_on: FailOn = "suspicious") -> int:
    """The code for a finished inspection.

    A file that tries to run code fails; any other inconclusive report is neither pass nor fail.
    """
    verdict = report["verdict"]
    if verdict == "inconclusive":
        severities = {finding["severity"] for finding in report["findings"]}
        return FAIL if Severity.CRITICAL.label in severities else INCONCLUSIVE
    if verdict == "clean" or (verdict == "suspicious" and fail_on == "backdoored"):
        return PASS
    return FAIL


def exit_of_reading(is_readable: bool, findings: Iterable[Finding]) -> int:
    """The code for an artifact of which only the static facts are known."""
    if worst(findings) is Severity.CRITICAL:
        return FAIL
    return PASS if is_readable else INCONCLUSIVE
