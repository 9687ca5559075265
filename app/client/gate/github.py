"""Annotations of GitHub Actions: workflow commands, one a line.

Escaped as the runner unescapes (actions/toolkit, packages/core/src/command.ts): ``%``, CR and LF in
the message, ``:`` and ``,`` besides in a property.
"""

from __future__ import annotations

from collections.abc import Iterator

from .outcome import Outcome, Remark

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_MOST = 10
"""The runner shows so many of a kind for one step."""


def render(outcome: Outcome) -> str:
    """What keeps the gate shut first, the rest after it; a notice where there is nothing."""
    remarks = sorted(outcome.remarks(), key=lambda one: not one.blocks)
    lines = [
        command(one.level, _title(one), _text(outcome, one), str(outcome.artifact))
        for one in _cut(remarks)
    ]
    if not remarks:
        lines = [
            command(
                "note",
                "clipvet",
                f"{outcome.headline} {outcome.page}".strip(),
                str(outcome.artifact),
            )
        ]
    return "\n".join(lines)


def command(level: str, title: str, message: str, file: str | None = None) -> str:
    """One workflow command."""
    properties = {"title": title} | ({} if file is None else {"file": file})
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{_COMMANDS[level]} {told}::{_data(message)}"


def _cut(remarks: list[Remark]) -> Iterator[Remark]:
    counts = dict.fromkeys(_COMMANDS, 0)
    for one in remarks:
        counts[one.level] += 1
        if counts[one.level] <= _MOST:
            yield one


def _title(remark: Remark) -> str:
    return f"clipvet {remark.id}"


def _text(outcome: Outcome, remark: Remark) -> str:
    parts = [remark.message]
    if remark.remedy:
        parts.append(f"Next step: {remark.remedy}")
    if remark.blocks:
        parts.append(f"Report: {outcome.page}")
    return "\n".join(parts)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
