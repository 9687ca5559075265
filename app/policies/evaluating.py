"""Hold a finished inspection against a policy: the row, its report, the rules, the moment."""

from __future__ import annotations

import json

from sqlalchemy.orm import Session

from app.db import clock
from app.policies import rules, service
from app.policies.document import Policy
from app.policies.schemas import EvaluationView, PolicyRef
from app.reports import service as reports


def under_kept(
    session: Session, inspection_id: str, name: str, version: int | None
) -> EvaluationView:
    """Under a policy that the service keeps. Raises ``NotFound``, or as :func:`under`."""
    kept = service.get(session, name, version)
    ref = PolicyRef(name=kept.name, version=kept.version, sha256=kept.sha256)
    return _judged(session, inspection_id, Policy.model_validate(kept.document), ref)


def under(session: Session, inspection_id: str, policy: Policy) -> EvaluationView:
    """Under a policy that was sent along.

    Raises:
        NotFound, Conflict: as :func:`app.reports.service.finished`.
    """
    sha256 = service.sha256_of(policy.model_dump(mode="json"))
    return _judged(
        session, inspection_id, policy, PolicyRef(name=policy.name, version=None, sha256=sha256)
    )


def _judged(session: Session, inspection_id: str, policy: Policy, ref: PolicyRef) -> EvaluationView:
    report = reports.report_body(session, inspection_id)
    row = reports.finished(session, inspection_id)
    now = clock.now(session)
    facts = rules.facts_of(
        json.loads(report.body),
        verdict=row.verdict or "inconclusive",
        artifact_sha256=row.artifact_sha256,
        finished_at=row.finished_at or row.created_at,
    )
    judged = rules.evaluate(policy, facts, now)
    return EvaluationView.of(inspection_id, ref, facts, now, judged)
