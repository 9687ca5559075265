"""A signed statement as a verifier reads it: which file, which verdict, when, over which report.

Reads what :mod:`app.attestation.statements` writes, and only that much of it that decides. A
statement that lacks it, or is of a type that we do not know, proves nothing. Knows no key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from app.attestation.published import moment
from app.attestation.statements import INSPECTION_TYPE, STATEMENT_TYPE, SVR_TYPE, TEST_RESULT_TYPE
from app.attestation.strictjson import Json, NotStrict, inner, objects, parse_object, text

_SHA256 = re.compile(r"^[0-9a-f]{64}$", re.ASCII)
_VERDICTS = ("clean", "suspicious", "backdoored", "inconclusive")
_RESULTS = ("pass", "warn", "fail")
_OF_TESTS = {"PASSED": "pass", "WARNED": "warn", "FAILED": "fail"}


class UnknownPredicate(NotStrict):
    """A statement about something else."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What the statement says. ``verdict`` is None where its type has no room for one."""

    predicate_type: str
    subjects: tuple[tuple[str | None, str], ...]
    """Name, if any, and sha256."""
    inspection_id: str
    issued_at: datetime
    finished_at: datetime
    report_sha256: str
    result: str
    verdict: str | None = None
    critical: int = 0
    predicate: Json | None = None
    """All of it, of our own type."""

    @property
    def digests(self) -> frozenset[str]:
        """Of the files that it is about."""
        return frozenset(digest for _, digest in self.subjects)


def read_statement(payload: bytes) -> Signed:
    """Read a payload whose signature is known to be good.

    Raises:
        UnknownPredicate: it is no statement of ours.
        NotStrict: it lacks something that a verdict rests on.
    """
    document = parse_object(payload)
    if document.get("_type") != STATEMENT_TYPE:
        raise UnknownPredicate(f"_type is not {STATEMENT_TYPE}")
    kind = text(document, "predicateType")
    if kind not in (INSPECTION_TYPE, TEST_RESULT_TYPE, SVR_TYPE):
        raise UnknownPredicate(f"predicateType is {kind[:120]!r}")
    subjects = tuple(_subject(one) for one in objects(document, "subject"))
    if not subjects:
        raise NotStrict("subject is empty")
    predicate = inner(document, "predicate")
    told = predicate if kind == INSPECTION_TYPE else inner(predicate, "clipvet")
    job = inner(told, "inspection")
    verdict, result, critical = _judgement(kind, predicate)
    return Signed(
        predicate_type=kind,
        subjects=subjects,
        inspection_id=text(job, "id"),
        issued_at=moment(text(told, "issuedOn")),
        finished_at=moment(text(job, "finishedOn")),
        report_sha256=_sha256(text(inner(told, "report"), "sha256")),
        result=result,
        verdict=verdict,
        critical=critical,
        predicate=predicate if kind == INSPECTION_TYPE else None,
    )


def _judgement(kind: str, predicate: Json) -> tuple[str | None, str, int]:
    """Verdict, policy result, number of critical findings."""
    if kind == TEST_RESULT_TYPE:
        return None, _OF_TESTS[_one_of(text(predicate, "result"), *_OF_TESTS)], 0
    if kind == SVR_TYPE:
        held = predicate.get("properties")
        if not isinstance(held, list):
            raise NotStrict("properties must be a list")
        return None, "pass" if "CLIPVET_POLICY_PASSED" in held else "fail", 0
    critical = predicate.get("criticalFindings")
    if not isinstance(critical, list):
        raise NotStrict("criticalFindings must be a list")
    verdict = _one_of(text(predicate, "verdict"), *_VERDICTS)
    result = _one_of(text(inner(predicate, "policy"), "result"), *_RESULTS)
    return verdict, result, len(critical)


def _subject(one: Json) -> tuple[str | None, str]:
    name = one.get("name")
    digest = _sha256(text(inner(one, "digest"), "sha256"))
    return name if isinstance(name, str) else None, digest


def _sha256(value: str) -> str:
    if not _SHA256.match(value):
        raise NotStrict("a sha256 is 64 hexadecimal digits in lower case")
    return value


def _one_of(value: str, *known: str) -> str:
    if value not in known:
        raise NotStrict(f"{value[:40]!r} is none of {', '.join(known)}")
    return value
