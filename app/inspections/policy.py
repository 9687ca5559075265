"""From a scientific verdict to a business result, and what both are called.

Pure. Knows no row and no request; exit codes are ``app.client.gate.exits``'s.
"""

from __future__ import annotations

from typing import Literal

Verdict = Literal["clean", "suspicious", "backdoored", "inconclusive"]
Result = Literal["pass", "warn", "fail"]
FailOn = Literal["suspicious", "backdoored"]
Profile = Literal["quick", "standard", "paper", "thorough"]
"""How much work; the inspector's own names, as the verdicts are."""


def result_of(verdict: Verdict, fail_on: FailOn) -> Result:
    """What a pipeline should do. ``inconclusive`` never passes: a skipped stage proves nothing."""
    if verdict == "clean":
        return "pass"
    if verdict == "suspicious" and fail_on == "backdoored":
        return "warn"
    return "fail"
