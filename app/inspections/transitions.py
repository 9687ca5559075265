"""Moving an inspection from one status to the next: row, event and webhooks in one transaction.

The caller holds the row (locked, or in SQLite's single write transaction) and has decided; here is
only what every move has in common. Knows no lease.

    queued → validating → running → succeeded
       ↑__________|___________|   ↘ failed | canceled | expired   (the last two also from queued)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.db import clock
from app.db.ids import new_id
from app.models import TERMINAL, Dispatch, Inspection, InspectionEvent, Status
from app.webhooks import service as webhooks

EVENT_TYPES = {
    Status.SUCCEEDED: "inspection.completed",
    Status.FAILED: "inspection.failed",
    Status.CANCELED: "inspection.canceled",
    Status.EXPIRED: "inspection.expired",
}
"""Webhook event per final status."""


def printable(text: str) -> str:
    """Without control characters: PostgreSQL refuses NUL, and log lines must stay lines."""
    return "".join(ch if ch.isprintable() else " " for ch in text)


def add_event(session: Session, row: Inspection, message: str) -> InspectionEvent:
    """Append what the row says now, plus a sentence, to the inspection's history."""
    row.last_seq += 1
    row.message = printable(message)[:500]
    event = InspectionEvent(
        id=new_id("evt"),
        inspection_id=row.id,
        seq=row.last_seq,
        status=row.status,
        attempt=row.attempt,
        stage=row.stage,
        progress=row.progress,
        eta_s=row.eta_s,
        message=row.message,
        ts=clock.now(session),
    )
    session.add(event)
    return event


def move(session: Session, row: Inspection, status: Status, message: str) -> None:
    """Set the status, write the event, and for a final one drop the lease and tell webhooks.

    Raises:
        ValueError: the inspection has already ended.
    """
    if row.status in TERMINAL:
        raise ValueError(f"{row.id} is {row.status} and stays so")
    row.status = status
    if status in TERMINAL:
        row.stage = str(status)
        row.eta_s = None
        row.lease_owner = row.lease_until = None
        if status is Status.SUCCEEDED:
            row.progress = 1.0
    event = add_event(session, row, message)
    if status in TERMINAL:
        row.finished_at = event.ts
        webhooks.publish(
            session, webhooks.Event(event.id, EVENT_TYPES[status], row.id, webhook_data(row))
        )


def requeue(session: Session, row: Inspection, message: str, *, after_s: float = 0) -> None:
    """Back to the queue for another attempt, ``after_s`` from now; if at once, with a wake-up.

    A job that somebody wanted canceled meanwhile ends instead.
    """
    if row.cancel_requested_at is not None:
        move(session, row, Status.CANCELED, "canceled on request")
        return
    row.lease_owner = row.lease_until = None
    row.stage = "queued"
    row.progress = 0.0
    row.eta_s = None
    move(session, row, Status.QUEUED, message)
    if after_s > 0:
        # Idle workers look at the queue themselves; a message that comes too
        # early would be for nothing.
        row.not_before = clock.now(session) + timedelta(seconds=after_s)
    else:
        session.add(Dispatch(inspection_id=row.id))


def fail(session: Session, row: Inspection, code: str, message: str) -> None:
    """Our own fault, for good."""
    row.error_code = code[:64]
    row.error_message = printable(message)[:2000]
    move(session, row, Status.FAILED, f"failed: {message}")


def webhook_data(row: Inspection) -> dict[str, Any]:
    """Thin payload: what happened, how strong it is, where to look; never the report itself."""
    summary = row.summary or {}
    here = f"{row.base_url}/v1/inspections/{row.id}"
    return {
        "inspection_id": row.id,
        "status": row.status,
        "verdict": row.verdict,
        "result": row.result,
        "artifact_sha256": row.artifact_sha256,
        "critical_findings": summary.get("critical_findings", []),
        "profile": row.request.get("profile"),
        "in_distribution": row.request.get("in_distribution"),
        "engine": summary.get("engine"),
        "backbone_sha256": summary.get("backbone_sha256"),
        "labels": row.labels,
        "error_code": row.error_code,
        "links": {
            "inspection": here,
            "verdict": f"{here}/verdict",
            "report": f"{here}/report.json",
            "attestation": f"{here}/attestation",
        },
    }
