"""One line of the table at a run's end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """``figure`` is what was measured. ``holds`` None: told, not judged."""

    name: str
    figure: str
    holds: bool | None
    detail: str = ""


def none_of(name: str, wrong: Iterable[object], among: int | None = None) -> Finding:
    """Holds when nothing is wrong; names the first few that are."""
    listed = list(wrong)
    figure = str(len(listed)) if among is None else f"{len(listed)} of {among}"
    return Finding(name, figure, not listed, "; ".join(map(str, listed[:8])))


def table(findings: Iterable[Finding]) -> str:
    """For people."""
    words = {True: "holds", False: "BROKEN", None: ""}
    lines = []
    for one in findings:
        lines.append(f"{words[one.holds]:7} {one.figure:>16}  {one.name}")
        if one.detail:
            lines.append(f"{'':26}{one.detail[:600]}")
    return "\n".join(lines)


def must_hold(findings: Iterable[Finding]) -> None:
    """Print the table. Raises ``AssertionError`` if anything is broken."""
    listed = list(findings)
    print(table(listed))
    broken = [finding for finding in listed if finding.holds is False]
    assert not broken, table(broken)
