"""Takes back the jobs of workers that died, and ends what is past its deadline.

A lease that has run out is watched for a while before it counts as lost: after an outage of the
database, or when its clock jumps, every lease has run out at once, and each living worker extends
its own within a second. Any number of reapers may run; each step is one transaction on a locked
row. Knows no worker but by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import or_, select

from app.db import clock
from app.db.session import Database
from app.inspections.transitions import fail, move, requeue
from app.models import ACTIVE, Inspection, Status

WATCHED_BEATS = 5
"""For how many of the intervals at which a worker extends its lease a lapsed one is watched."""
_LONGEST_PAUSE_S = 60.0
_LONGEST_LEASE = timedelta(hours=1)
"""One that ends later was written before the clock was set back; the living write theirs anew."""
_UNLESS_HELD = {"skip_locked": True}
"""Whoever holds the row is at work on it; a reaper that waited for it would
keep others from theirs."""

_Lease = tuple[str, int, datetime | None]
IsDead = Callable[[str], bool]


class Reaper:
    """Remembers which lapsed leases it has seen; belongs to one thread."""

    def __init__(self, database: Database, losses_allowed: int, watch_s: float) -> None:
        self._database = database
        self._losses_allowed = losses_allowed
        self._watch_s = watch_s
        self._seen: dict[_Lease, float] = {}

    def reap(self, is_dead: IsDead | None = None) -> int:
        """Move what is late or lost, at once where the owner ``is_dead``; how many rows moved."""
        lost, late = self._candidates(is_dead)
        return sum(self._take_back(lease) for lease in lost) + sum(map(self._expire, late))

    def _candidates(self, is_dead: IsDead | None) -> tuple[list[_Lease], list[str]]:
        with self._database.read() as session:
            now = clock.now(session)
            rows = session.execute(
                select(
                    Inspection.id,
                    Inspection.attempt,
                    Inspection.lease_until,
                    Inspection.lease_owner,
                    Inspection.status,
                ).where(
                    or_(
                        Inspection.status.in_(ACTIVE),
                        (Inspection.status == Status.QUEUED) & (Inspection.deadline_at <= now),
                    )
                )
            ).all()
        late = [row.id for row in rows if row.status == Status.QUEUED]
        lapsed: list[_Lease] = []
        dead: list[_Lease] = []
        for row in rows:
            lease = (row.id, row.attempt, row.lease_until)
            if row.status == Status.QUEUED:
                continue
            if is_dead is not None and is_dead(row.lease_owner or ""):
                dead.append(lease)
            elif row.lease_until is None or not now <= row.lease_until <= now + _LONGEST_LEASE:
                lapsed.append(lease)
        return dead + self._watched(lapsed), late

    def _watched(self, lapsed: list[_Lease]) -> list[_Lease]:
        """Those that nobody has extended for as long as they are watched."""
        moment = time.monotonic()
        self._seen = {lease: self._seen.get(lease, moment) for lease in lapsed}
        return [lease for lease, since in self._seen.items() if moment - since >= self._watch_s]

    def _take_back(self, lease: _Lease) -> bool:
        identifier, attempt, until = lease
        with self._database.begin() as session:
            row = session.get(Inspection, identifier, with_for_update=_UNLESS_HELD)
            if row is None or row.status not in ACTIVE:
                return False
            if (row.attempt, row.lease_until) != (attempt, until):
                return False
            if row.cancel_requested_at is not None:
                move(session, row, Status.CANCELED, "canceled on request")
                return True
            if row.deadline_at <= clock.now(session):
                move(session, row, Status.EXPIRED, "the deadline has passed")
                return True
            row.losses += 1
            if row.losses > self._losses_allowed:
                fail(session, row, "worker_lost", f"{row.losses} workers died while they had it")
            else:
                # Workers are lost to machines, hardly ever to jobs; one that takes them
                # down waits longer each time.
                row.attempts_allowed += 1
                pause_s = min(2.0 ** (row.losses - 1) - 1, _LONGEST_PAUSE_S)
                text = f"the worker of attempt {row.attempt} died; another one continues"
                requeue(session, row, text, after_s=pause_s)
            return True

    def _expire(self, inspection_id: str) -> bool:
        with self._database.begin() as session:
            row = session.get(Inspection, inspection_id, with_for_update=_UNLESS_HELD)
            if row is None or row.status != Status.QUEUED or row.deadline_at > clock.now(session):
                return False
            move(session, row, Status.EXPIRED, "the deadline has passed")
            return True
