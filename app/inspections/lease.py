"""What a worker may do to an inspection, and the fence that keeps a dead one out.

A claim is (owner, attempt). Every later step checks both against the locked row, so a worker that
was paused past its lease and replaced can change nothing (``LeaseLost``). The reaper gives the jobs
of dead workers to others, and ends those that killed too many. Knows no broker and no process.
Idea: the leases of service.md §4.3; database row as truth, message as wake-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import CursorResult, or_, select, update
from sqlalchemy.orm import Session

from app.db.base import utcnow
from app.db.session import Database
from app.inspections.policy import FailOn, Verdict, result_of
from app.inspections.transitions import add_event, fail, move, printable, requeue
from app.models import ACTIVE, Artifact, Dispatch, Inspection, Report, Status


class LeaseLost(Exception):
    """Another attempt, or nobody, holds this inspection now: stop and touch nothing."""


class StopRequested(Exception):
    """The inspection must end now; ``status`` says how."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one inspection, and what the work is."""

    inspection_id: str
    tenant: str
    upload_id: str
    artifact_sha256: str
    request: dict[str, Any]
    fail_on: FailOn
    owner: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Progress:
    """``fraction`` of the whole inspection in [0, 1]; ``eta_s`` seconds to go, if known."""

    stage: str
    fraction: float
    eta_s: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything the final transaction writes."""

    verdict: Verdict
    report_body: str
    report_sha256: str
    summary: dict[str, Any]
    artifacts: Sequence[Artifact]


def claim(
    database: Database, owner: str, lease_s: float, inspection_id: str | None = None
) -> Claim | None:
    """Take this inspection, or the oldest waiting one; None when there is none to take."""
    for _ in range(5):
        with database.begin() as session:
            candidate = session.scalar(_waiting(inspection_id))
            if candidate is None:
                return None
            taken = _take(session, candidate, owner, lease_s)
            if taken is not None:
                return taken
    return None


def _waiting(inspection_id: str | None) -> Any:
    now = utcnow()
    query = select(Inspection.id).where(
        Inspection.status == Status.QUEUED,
        or_(Inspection.not_before.is_(None), Inspection.not_before <= now),
        Inspection.deadline_at > now,
    )
    if inspection_id is not None:
        query = query.where(Inspection.id == inspection_id)
    return query.order_by(Inspection.created_at, Inspection.id).limit(1)


def _take(session: Session, inspection_id: str, owner: str, lease_s: float) -> Claim | None:
    now = utcnow()
    taken: CursorResult[Any] = session.execute(  # type: ignore[assignment]
        update(Inspection)
        .where(Inspection.id == inspection_id, Inspection.status == Status.QUEUED)
        .values(
            status=Status.VALIDATING,
            lease_owner=owner,
            lease_until=now + timedelta(seconds=lease_s),
            attempt=Inspection.attempt + 1,
            not_before=None,
        )
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:
        return None
    row = session.get_one(Inspection, inspection_id)
    row.started_at = row.started_at or now
    row.stage = "fetch"
    add_event(session, row, f"attempt {row.attempt} of {row.attempts_allowed}")
    fail_on: FailOn = "backdoored" if row.fail_on == "backdoored" else "suspicious"
    return Claim(
        inspection_id=row.id,
        tenant=row.tenant,
        upload_id=row.upload_id,
        artifact_sha256=row.artifact_sha256,
        request=row.request,
        fail_on=fail_on,
        owner=owner,
        attempt=row.attempt,
    )


@contextmanager
def _held(database: Database, held: Claim) -> Iterator[tuple[Session, Inspection]]:
    """A transaction on the locked row. Raises ``LeaseLost`` unless the claim still stands."""
    with database.begin() as session:
        row = session.get(Inspection, held.inspection_id, with_for_update=True)
        if (
            row is None
            or row.status not in ACTIVE
            or (row.lease_owner, row.attempt) != (held.owner, held.attempt)
        ):
            raise LeaseLost(f"{held.inspection_id} attempt {held.attempt}")
        yield session, row


def extend(database: Database, held: Claim, lease_s: float) -> None:
    """Prolong the lease. Raises ``LeaseLost``, or ``StopRequested`` on cancel or deadline."""
    with _held(database, held) as (_, row):
        now = utcnow()
        row.lease_until = now + timedelta(seconds=lease_s)
        canceled, late = row.cancel_requested_at is not None, row.deadline_at <= now
    if canceled:
        raise StopRequested(Status.CANCELED, "canceled on request")
    if late:
        raise StopRequested(Status.EXPIRED, "the deadline has passed")


def report_progress(
    database: Database, held: Claim, progress: Progress, *, running: bool, as_event: bool
) -> None:
    """Show how far the job is; ``as_event`` also keeps it in the history. Raises ``LeaseLost``."""
    with _held(database, held) as (session, row):
        row.status = Status.RUNNING if running else Status.VALIDATING
        row.stage = printable(progress.stage)[:64]
        row.progress = min(max(progress.fraction, 0.0), 1.0)
        row.eta_s = progress.eta_s
        if as_event:
            add_event(session, row, progress.message)
        else:
            row.message = printable(progress.message)[:500]


def finish(database: Database, held: Claim, outcome: Outcome) -> None:
    """The one final transaction of a job that has a verdict. Raises ``LeaseLost``."""
    with _held(database, held) as (session, row):
        row.verdict = outcome.verdict
        row.result = result_of(outcome.verdict, held.fail_on)
        row.summary = outcome.summary
        session.add(
            Report(inspection_id=row.id, body=outcome.report_body, sha256=outcome.report_sha256)
        )
        session.add_all(outcome.artifacts)
        move(session, row, Status.SUCCEEDED, f"verdict: {outcome.verdict}")


def stop(database: Database, held: Claim, request: StopRequested) -> None:
    """End a canceled or expired job. Raises ``LeaseLost``."""
    with _held(database, held) as (session, row):
        move(session, row, request.status, str(request))


def give_up(
    database: Database, held: Claim, code: str, message: str, *, retry_after_s: float | None
) -> None:
    """Our fault: back to the queue while attempts remain and a retry makes sense, else failed."""
    with _held(database, held) as (session, row):
        if retry_after_s is None or row.attempt >= row.attempts_allowed:
            fail(session, row, code, message)
            return
        row.not_before = utcnow() + timedelta(seconds=retry_after_s)
        requeue(session, row, f"attempt {row.attempt} ended ({code}): {message}")


def release(database: Database, held: Claim) -> None:
    """The worker shuts down in good order: the attempt does not count against the job."""
    with _held(database, held) as (session, row):
        row.attempts_allowed += 1
        requeue(session, row, "the worker is shutting down; another one continues")


def reap(database: Database, *, dead_owner: Callable[[str], bool] | None = None) -> int:
    """Take back jobs whose lease ran out, and those of owners known to be dead; expire late ones.

    Returns how many rows were moved.
    """
    now = utcnow()
    late = or_(
        Inspection.status.in_(ACTIVE),
        (Inspection.status == Status.QUEUED) & (Inspection.deadline_at <= now),
    )
    with database.read() as session:
        candidates = [
            identifier
            for identifier, status, owner, until in session.execute(
                select(
                    Inspection.id, Inspection.status, Inspection.lease_owner, Inspection.lease_until
                ).where(late)
            )
            if status == Status.QUEUED
            or until is None
            or until < now
            or (dead_owner is not None and dead_owner(owner or ""))
        ]
    return sum(_reap_one(database, identifier, dead_owner) for identifier in candidates)


def _reap_one(
    database: Database, inspection_id: str, dead_owner: Callable[[str], bool] | None
) -> bool:
    with database.begin() as session:
        row = session.get(Inspection, inspection_id, with_for_update=True)
        now = utcnow()
        if row is None or row.status not in (*ACTIVE, Status.QUEUED):
            return False
        if row.status in ACTIVE:
            alive = row.lease_until is not None and row.lease_until >= now
            if alive and not (dead_owner is not None and dead_owner(row.lease_owner or "")):
                return False
            if row.cancel_requested_at is not None:
                move(session, row, Status.CANCELED, "canceled on request")
                return True
        if row.deadline_at <= now:
            move(session, row, Status.EXPIRED, "the deadline has passed")
            return True
        if row.status == Status.QUEUED:
            return False
        if row.attempt >= row.attempts_allowed:
            fail(session, row, "worker_lost", f"the worker died in each of {row.attempt} attempts")
        else:
            requeue(session, row, f"the worker of attempt {row.attempt} died; trying again")
        return True


def redispatch_oldest(database: Database, waiting_s: float) -> None:
    """For an idle worker: if a job waits although nobody is busy, its wake-up was lost; renew it."""
    with database.begin() as session:
        oldest = session.scalar(
            _waiting(None).where(Inspection.created_at < utcnow() - timedelta(seconds=waiting_s))
        )
        known = oldest and session.scalar(
            select(Dispatch.id).where(Dispatch.inspection_id == oldest).limit(1)
        )
        if oldest and not known:
            session.add(Dispatch(inspection_id=oldest))
