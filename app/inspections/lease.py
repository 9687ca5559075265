"""What a worker may do to an inspection, and the fence that keeps a dead one out.

A claim is (owner, attempt). Every later step checks both against the locked row, so a worker that
was paused past its lease and replaced can change nothing (``LeaseLost``). All moments are the
database's. An attempt counts against ``attempts_allowed`` when the job itself ended it; whoever
gives a job back for another reason (:func:`release`) allows one more.
``app.inspections.reaper`` takes back what dead workers hold. Knows no broker and no process.
Idea: database row as truth, message as wake-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.db import clock
from app.db.session import Database
from app.inspections.policy import FailOn, Verdict, result_of
from app.inspections.transitions import add_event, fail, move, printable, requeue
from app.models import ACTIVE, Artifact, Inspection, Report, Status

LONGEST_DELAY = timedelta(seconds=120)
"""Beyond what any job waits for its next attempt."""


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


def claim(database: Database, owner: str, lease_s: float) -> Claim | None:
    """Take the inspection that has waited longest of those that are due; None if there is none."""
    with database.begin() as session:
        now = clock.now(session)
        row = session.scalar(
            select(Inspection)
            .where(
                Inspection.status == Status.QUEUED,
                or_(
                    Inspection.not_before.is_(None),
                    Inspection.not_before <= now,
                    # Nobody is told to wait so long: the clock was set back.
                    Inspection.not_before > now + LONGEST_DELAY,
                ),
                Inspection.deadline_at > now,
            )
            .order_by(Inspection.created_at, Inspection.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        return None if row is None else _take(session, row, owner, now + timedelta(seconds=lease_s))


def _take(session: Session, row: Inspection, owner: str, until: datetime) -> Claim:
    row.status = Status.VALIDATING
    row.lease_owner, row.lease_until, row.not_before = owner, until, None
    row.attempt += 1
    row.stage = "fetch"
    event = add_event(session, row, f"attempt {row.attempt} begins")
    row.started_at = row.started_at or event.ts
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
    with _held(database, held) as (session, row):
        now = clock.now(session)
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
    """The job ended its attempt.

    Back to the queue while some are left and a retry makes sense, else failed.
    """
    with _held(database, held) as (session, row):
        if retry_after_s is None or row.attempt >= row.attempts_allowed:
            fail(session, row, code, message)
        else:
            text = f"attempt {row.attempt} ended ({code}): {message}"
            requeue(session, row, text, after_s=retry_after_s)


def release(database: Database, held: Claim, why: str, *, after_s: float = 0) -> None:
    """Back to the queue for a reason that is not the job's: the attempt does not count."""
    with _held(database, held) as (session, row):
        row.attempts_allowed += 1
        requeue(session, row, why, after_s=after_s)
