"""Severity and finding: what every stage of an inspection reports in the same words.

Deliberately knows no stage: the reader, the tensor checks and the trigger search each own their
table of finding ids. Torch-free and free of third-party code, because the reading child and the
command line's static scan import it. The shape (id, severity, message; the worst one decides) is
fickling's, with an ordered enumeration instead of hand-written comparisons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How much a finding weighs; ordered."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def label(self) -> str:
        """The word used in JSON and on screen."""
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> Severity:
        """The inverse of :attr:`label`.

        Raises:
            ValueError: no severity has that name.
        """
        try:
            return cls[label.upper()]
        except KeyError:
            raise ValueError(f"no such severity: {label[:40]!r}") from None


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation: a stable ``id``, how much it weighs, one sentence for a reader."""

    id: str
    severity: Severity
    message: str

    def to_json(self) -> dict[str, str]:
        return {"id": self.id, "severity": self.severity.label, "message": self.message}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Finding:
        """Raises ``ValueError`` when a field is missing or no string."""
        fields = [data.get(key) for key in ("id", "severity", "message")]
        if not all(isinstance(field, str) for field in fields):
            raise ValueError("a finding needs the strings id, severity and message")
        identifier, severity, message = (str(field) for field in fields)
        return cls(identifier, Severity.from_label(severity), message)


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The highest severity among ``findings``, or None when there are none."""
    return max((finding.severity for finding in findings), default=None)
