"""Create, find, list and cancel inspections. Knows rows, not HTTP, workers or the broker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import clock
from app.db.ids import new_id
from app.errors import NotFound
from app.inspections.policy import FailOn
from app.inspections.transitions import add_event, move
from app.models import TERMINAL, Dispatch, Inspection, InspectionEvent, Status, Upload


@dataclass(frozen=True, slots=True)
class NewInspection:
    """One wish: the artifact, what the inspector needs, and how to judge and label it."""

    upload: Upload
    request: dict[str, Any]
    labels: dict[str, str]
    fail_on: FailOn
    deadline_s: float
    attempts_allowed: int
    base_url: str


def create(session: Session, new: NewInspection) -> Inspection:
    """A queued inspection and its wake-up, in the caller's transaction."""
    now = clock.now(session)
    row = Inspection(
        id=new_id("insp"),
        upload_id=new.upload.id,
        artifact_sha256=new.upload.sha256 or "",
        artifact_size=new.upload.size,
        request=new.request,
        labels=new.labels,
        fail_on=new.fail_on,
        attempts_allowed=new.attempts_allowed,
        created_at=now,
        deadline_at=now + timedelta(seconds=new.deadline_s),
        base_url=new.base_url,
    )
    session.add(row)
    session.flush()
    add_event(session, row, "queued")
    session.add(Dispatch(inspection_id=row.id))
    session.flush()
    return row


def get(session: Session, inspection_id: str) -> Inspection:
    """Raises ``NotFound``."""
    row = session.get(Inspection, inspection_id)
    if row is None:
        raise NotFound(f"no inspection {inspection_id[:60]!r}")
    return row


@dataclass(frozen=True, slots=True)
class Filter:
    """Which inspections to list; None means any."""

    status: str | None = None
    verdict: str | None = None
    artifact_sha256: str | None = None


def newest_first(
    session: Session, wanted: Filter, *, before_id: str | None, limit: int
) -> list[Inspection]:
    """Identifiers sort by time of creation, so the last id of a page is its cursor."""
    query = select(Inspection).order_by(Inspection.id.desc()).limit(limit)
    if wanted.status is not None:
        query = query.where(Inspection.status == wanted.status)
    if wanted.verdict is not None:
        query = query.where(Inspection.verdict == wanted.verdict)
    if wanted.artifact_sha256 is not None:
        query = query.where(Inspection.artifact_sha256 == wanted.artifact_sha256)
    if before_id is not None:
        query = query.where(Inspection.id < before_id)
    return list(session.scalars(query))


def events_after(
    session: Session, inspection_id: str, *, after: int, limit: int
) -> list[InspectionEvent]:
    """At most ``limit`` events whose ``seq`` is above ``after``, in order; none of unknown ids."""
    query = (
        select(InspectionEvent)
        .where(InspectionEvent.inspection_id == inspection_id, InspectionEvent.seq > after)
        .order_by(InspectionEvent.seq)
        .limit(limit)
    )
    return list(session.scalars(query))


def cancel(session: Session, inspection_id: str) -> Inspection:
    """Ask for the end. A waiting job ends at once, a running one when its worker sees the flag.

    Repeating it, or cancelling what has ended, changes nothing.
    """
    row = session.get(Inspection, inspection_id, with_for_update=True)
    if row is None:
        raise NotFound(f"no inspection {inspection_id[:60]!r}")
    if row.status in TERMINAL or row.cancel_requested_at is not None:
        return row
    row.cancel_requested_at = clock.now(session)
    if row.status == Status.QUEUED:
        move(session, row, Status.CANCELED, "canceled on request")
    else:
        add_event(session, row, "cancel requested")
    return row
