"""From a scientific verdict to a business result, and to an exit code; and what both are called.

Pure, and the only place that knows the table of the contract. Knows no row and no request.
"""

from __future__ import annotations

from typing import Literal

Verdict = Literal["clean", "suspicious", "backdoored", "inconclusive"]
Result = Literal["pass", "warn", "fail"]
FailOn = Literal["suspicious", "backdoored"]
Profile = Literal["quick", "standard", "paper", "thorough"]
"""How much work; the inspector's own names, as the verdicts are."""

EXIT_PASS = 0
EXIT_FAIL = 1
EXIT_ERROR = 2
EXIT_INCONCLUSIVE = 3
EXIT_USAGE = 4
EXIT_TIMEOUT = 5


def result_of(verdict: Verdict, fail_on: FailOn) -> Result:
    """What a pipeline should do. ``inconclusive`` never passes: a skipped stage proves nothing."""
    if verdict == "clean":
        return "pass"
    if verdict == "suspicious" and fail_on == "backdoored":
        return "warn"
    return "fail"


def exit_code(status: str, verdict: str | None, result: str | None, critical_findings: int) -> int:
    """The command line's exit code for a finished inspection."""
    if status != "succeeded":
        return EXIT_ERROR
    if result in ("pass", "warn"):
        return EXIT_PASS
    if verdict == "inconclusive" and critical_findings == 0:
        return EXIT_INCONCLUSIVE
    return EXIT_FAIL
