"""Exit codes of the gate, and the one table that leads to them. Pure."""

from __future__ import annotations

EXIT_PASS = 0
EXIT_FAIL = 1
EXIT_ERROR = 2
EXIT_INCONCLUSIVE = 3
EXIT_USAGE = 4
EXIT_TIMEOUT = 5


def exit_code(status: str, verdict: str | None, result: str | None, critical_findings: int) -> int:
    """The exit code for a finished inspection.

    Args:
        result: what the policy makes of the verdict; a named policy's, where one was asked.
    """
    if status != "succeeded":
        return EXIT_ERROR
    if critical_findings > 0:
        return EXIT_FAIL
    if result in ("pass", "warn"):
        return EXIT_PASS
    if verdict == "inconclusive":
        return EXIT_INCONCLUSIVE
    return EXIT_FAIL
