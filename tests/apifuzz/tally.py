"""What a campaign saw: cases, answers by operation and status, and everything that was wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from importlib.util import find_spec


@dataclass(frozen=True)
class Fault:
    """One request that was answered as the document does not say."""

    kind: str
    operation: str
    message: str
    request: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.kind}: {self.message}\n    {self.request}"


PRINTED = "GET /v1/inspections/{inspection_id}/report.pdf"
HAS_PRINTER = find_spec("weasyprint") is not None
"""An extra; without it the page's printed form is refused, whoever asks."""


@dataclass
class Tally:
    """Counts of one campaign; ``faults`` must be empty in the end, and so must ``never_accepted``."""

    operations: frozenset[str]
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    refused_by_state: Counter[str] = field(default_factory=Counter)
    """By code of the problem: requests that fit the document, refused for what the server holds."""
    compared: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.answers.total()

    @property
    def server_errors(self) -> int:
        return sum(count for (_, status), count in self.answers.items() if status >= 500)

    @property
    def never_accepted(self) -> set[str]:
        """Operations that no request got a 2xx from: nothing was learnt of what they answer."""
        accepted = {name for (name, status) in self.answers if 200 <= status < 300}
        return set(self.operations) - accepted - (set() if HAS_PRINTER else {PRINTED})

    @property
    def is_as_documented(self) -> bool:
        return not (self.faults or self.server_errors or self.never_accepted)

    def row(self) -> str:
        """One line of progress."""
        kinds = Counter(f"{status // 100}xx" for (_, status) in self.answers.elements())
        shown = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds))
        pairs = len(self.answers)
        twin = f", {self.compared} compared" if self.compared else ""
        return (
            f"{self.cases} cases: {shown}; {pairs} answers by kind{twin}; {len(self.faults)} faults"
        )

    def table(self) -> str:
        """Every operation with the statuses that it answered."""
        lines = []
        for name in sorted(self.operations):
            seen = sorted(
                (status, n) for (which, status), n in self.answers.items() if which == name
            )
            lines.append(f"{name:<58} " + "  ".join(f"{status}×{n}" for status, n in seen))
        lines.append("by stage: " + ", ".join(f"{n} {name}" for name, n in self.stages.items()))
        refused = ", ".join(f"{n} {code}" for code, n in sorted(self.refused_by_state.items()))
        lines.append(f"fit the document, refused for what the server holds: {refused or 'none'}")
        return "\n".join(lines)
