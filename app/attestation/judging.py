"""What a policy makes of a signed verdict, offline, by the rules of :mod:`app.policies`.

What the statement does not hold is taken from the report that was given beside it. That one is
believed about the verdict whose signature names its hash, and about no other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from app.attestation.reading import Signed
from app.attestation.strictjson import Json, NotStrict, parse_object, part
from app.policies.document import Policy
from app.policies.rules import Facts, RuleResult, evaluate, facts_of, result_of


@dataclass(frozen=True, slots=True)
class Judge:
    """A policy, the file, the moment, and a report with its sha256 if there is one."""

    policy: Policy
    artifact_sha256: str
    now: datetime
    report: Json | None
    report_sha256: str | None

    @classmethod
    def of(cls, policy: bytes, report: bytes | None, artifact_sha256: str, now: datetime) -> Judge:
        """Raises ``ValueError`` with a sentence for whoever gave the files."""
        try:
            asked = Policy.model_validate(parse_object(policy))
            told = None if report is None else parse_object(report)
        except ValidationError as error:
            where = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5]
            )
            raise ValueError(f"it is no policy: {where}") from None
        except NotStrict as error:
            raise ValueError(f"policy and report are JSON objects: {error}") from None
        if told is None and asked.max_severity != "high":
            raise ValueError(
                f"no finding graver than {asked.max_severity} may be there, and only critical ones "
                "are signed: give --report, too"
            )
        digest = None if report is None else hashlib.sha256(report).hexdigest()
        return cls(asked, artifact_sha256, now, told, digest)

    def rules(self, signed: Signed) -> list[RuleResult]:
        """Every rule of the policy, on this verdict."""
        return evaluate(self.policy, self._facts(signed), self.now)

    def result(self, signed: Signed) -> str:
        """Pass, warn or fail."""
        return result_of(self.rules(signed))

    def passes(self, signed: Signed) -> bool:
        """Also where a waiver was needed."""
        return self.result(signed) != "fail"

    def _facts(self, signed: Signed) -> Facts:
        report = self.report
        if report is None or self.report_sha256 != signed.report_sha256:
            report = _as_report(signed.predicate or {})
        return facts_of(
            report,
            verdict=signed.verdict or "not told",
            artifact_sha256=self.artifact_sha256,
            finished_at=signed.finished_at,
        )


def _as_report(told: Json) -> Json:
    """What the statement says, under the names that a report has for it."""
    found = told.get("criticalFindings")
    names = found if isinstance(found, list) else []
    return {
        "backbone": part(told, "backbone"),
        "engine": part(told, "engine"),
        "calibration": part(told, "bank"),
        "profile": told.get("profile"),
        "assembly": told.get("assembly"),
        "score": told.get("score"),
        "p_value": told.get("pValue"),
        "findings": [{"id": name, "severity": "critical"} for name in names],
    }
