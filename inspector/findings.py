"""Severity and finding: what every stage of an inspection reports in the same words.

Deliberately knows no stage: the reader, the tensor checks and the trigger search decide what they
report and how severe it is. One table, :data:`WEAKNESSES`, says of every id which weakness (CWE
4.x) and which technique (MITRE ATLAS 5.6) it stands for; another, in :mod:`inspector.advice`, what
to do next. Torch-free and free of third-party code, because the reading child and the command
line's static scan import it. The shape (id, severity, message; the worst one decides) is
fickling's, with an ordered enumeration instead of hand-written comparisons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from inspector.advice import REMEDIES


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


class Weakness(NamedTuple):
    """What a finding stands for elsewhere; None where no id would say more than the finding does.

    ``cwe`` is the weakness that a program has which takes the file at its word, ``atlas`` the
    technique of an adversary who meant it. Neither says that there is an adversary.
    """

    cwe: str | None = None
    atlas: str | None = None


_UNSAFE_ARTIFACT, _SUPPLY_CHAIN = "AML.T0011.000", "AML.T0010.003"
_MANIPULATED, _POISONED = "AML.T0018", "AML.T0018.000"
_DENIAL, _MASQUERADE, _CORRUPTED = "AML.T0029", "AML.T0074", "AML.T0076"
_NONE = Weakness()

WEAKNESSES: dict[str, Weakness] = {
    # The pickle. CWE-502: deserialisation of untrusted data; 228: syntactically invalid structure;
    # 436: two programs that understand one input differently.
    "pickle-code-execution": Weakness("CWE-502", _UNSAFE_ARTIFACT),
    "pickle-unknown-global": Weakness("CWE-502", _UNSAFE_ARTIFACT),
    "pickle-uncommon-global": _NONE,
    "pickle-malformed": Weakness("CWE-228", _CORRUPTED),
    "pickle-trailing-bytes": Weakness("CWE-436", _CORRUPTED),
    # The container. CWE-823: offset out of range; 354: integrity check value; 694: duplicate
    # identifiers; 22: path traversal; 409: highly compressed data.
    "empty-file": _NONE,
    "not-a-checkpoint": _NONE,
    "unsupported-format": _NONE,
    "structure-out-of-range": Weakness("CWE-823", _CORRUPTED),
    "polyglot": Weakness("CWE-436", _MASQUERADE),
    "zip-truncated": Weakness("CWE-228", _CORRUPTED),
    "zip-malformed": Weakness("CWE-228", _CORRUPTED),
    "zip-bad-crc": Weakness("CWE-354", _CORRUPTED),
    "zip-no-checksums": _NONE,
    "zip-duplicate-member": Weakness("CWE-694", _MASQUERADE),
    "zip-unsafe-name": Weakness("CWE-22", _SUPPLY_CHAIN),
    "zip-encrypted": Weakness("CWE-436", _CORRUPTED),
    "zip-header-mismatch": Weakness("CWE-436", _MASQUERADE),
    "torch-malformed": Weakness("CWE-228", _CORRUPTED),
    "legacy-malformed": Weakness("CWE-228", _CORRUPTED),
    "safetensors-malformed": Weakness("CWE-228", _CORRUPTED),
    "archive-malformed": Weakness("CWE-228", _CORRUPTED),
    "archive-no-checkpoint": _NONE,
    "archive-ambiguous": _NONE,
    "archive-nested": Weakness("CWE-409", _MASQUERADE),
    # The tensors. CWE-1284: a quantity that is not checked; 125: reading out of bounds.
    "no-state-dict": _NONE,
    "state-dict-extra": _NONE,
    "duplicate-key": Weakness("CWE-694", _MASQUERADE),
    "prefix-stripped": _NONE,
    "identical-copy": _NONE,
    "other-model": Weakness("CWE-436", _MASQUERADE),
    "loader-differs": Weakness("CWE-436", _MASQUERADE),
    "model-chosen": _NONE,
    "unsupported-tensor": _NONE,
    "tensor-malformed": Weakness("CWE-1284", _CORRUPTED),
    "storage-out-of-range": Weakness("CWE-125", _CORRUPTED),
    "non-finite-tensor": _NONE,
    # The family.
    "unknown-family": _NONE,
    "unknown-key": Weakness(None, _MANIPULATED),
    "ambiguous-family": _NONE,
    "shape-mismatch": _NONE,
    # What the vendor says of the files.
    "vendor-signature": _NONE,
    "vendor-signature-differs": Weakness("CWE-354", _SUPPLY_CHAIN),
    "vendor-signature-malformed": _NONE,
    # The reader. CWE-400: uncontrolled use of resources; 755: exceptional conditions.
    "limit-exceeded": Weakness("CWE-400", _DENIAL),
    "reader-timeout": Weakness("CWE-400", _DENIAL),
    "reader-error": Weakness("CWE-755", _CORRUPTED),
    # The assembly. CWE-345: data whose origin is not verified.
    "token-prefix-altered": Weakness("CWE-345", _POISONED),
    "token-suffix-altered": Weakness("CWE-345", _POISONED),
    "encoder-changed": Weakness("CWE-345", _POISONED),
    "encoder-tuned": _NONE,
    "adapter-base": _NONE,
    "context-extreme": Weakness("CWE-345", _POISONED),
    "context-outlier": Weakness("CWE-345", _POISONED),
    "meta-net-extreme": Weakness("CWE-345", _POISONED),
    "low-rank-extreme": Weakness("CWE-345", _POISONED),
    "cache-labels-altered": Weakness("CWE-345", _POISONED),
    "unusual-dtype": _NONE,
    "logit-scale-changed": Weakness("CWE-345", _POISONED),
    "logit-scale-mismatch": _NONE,
    "logit-bias-left-out": _NONE,
    "class-list-mismatch": Weakness("CWE-345", _MASQUERADE),
    "class-list-missing": _NONE,
    "duplicate-class-names": _NONE,
    "template-mismatch": _NONE,
    "method-mismatch": _NONE,
    "option-mismatch": _NONE,
    "preprocessing-differs": _NONE,
    "backbone-mismatch": _NONE,
    "assembly-impossible": _NONE,
    "too-few-classes": _NONE,
    "statement-malformed": _NONE,
    "assembly-found": _NONE,
    # The inspection.
    "backbone-unusable": _NONE,
    "request-invalid": _NONE,
    "numerical-error": _NONE,
    "no-bank": _NONE,
    "budget-exceeded": _NONE,
    "other-model-inspected": _NONE,
}
"""By finding id. ATLAS: unsafe AI artifacts, supply chain (model), manipulate and poison AI model,
denial of AI service, masquerading, corrupt AI model."""


NEXT_STEP = "next step"
"""How a remedy is called on screen."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation: a stable ``id``, how much it weighs, one sentence for a reader.

    ``remedy`` says what to do next; without one it is the row of :data:`REMEDIES`, empty for an id
    without a row.
    """

    id: str
    severity: Severity
    message: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if not self.remedy:
            object.__setattr__(self, "remedy", REMEDIES.get(self.id, ""))

    @property
    def weakness(self) -> Weakness:
        """Its row of :data:`WEAKNESSES`; empty for an id without a row."""
        return WEAKNESSES.get(self.id, _NONE)

    @property
    def references(self) -> str:
        """The ids of its weakness, for a person; empty where it has none."""
        return ", ".join(reference for reference in self.weakness if reference)

    def to_json(self) -> dict[str, str | None]:
        """``cwe`` and ``atlas`` follow from the id and are not read back."""
        return {
            "id": self.id,
            "severity": self.severity.label,
            "message": self.message,
            "remedy": self.remedy,
            **self.weakness._asdict(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Finding:
        """Raises ``ValueError`` when a field is missing or no string; old ones lack ``remedy``."""
        fields = [data.get(key) for key in ("id", "severity", "message")]
        fields.append(data.get("remedy", ""))
        if not all(isinstance(field, str) for field in fields):
            raise ValueError("a finding needs the strings id, severity, message and remedy")
        identifier, severity, message, remedy = (str(field) for field in fields)
        return cls(identifier, Severity.from_label(severity), message, remedy)


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The highest severity among ``findings``, or None when there are none."""
    return max((finding.severity for finding in findings), default=None)


def with_remedies(findings: Iterable[Finding]) -> Iterator[tuple[Finding, str]]:
    """Each finding with what to show below it.

    A remedy of several in a row stands once, at their end.
    """
    for finding, following in pairwise([*findings, None]):
        if finding is not None:
            is_told_later = following is not None and following.remedy == finding.remedy
            yield finding, "" if is_told_later else finding.remedy
