"""What every worker does beside its jobs: beat, reap, relay wake-ups, deliver webhooks, purge.

A thread each, so that neither a broker that is away nor webhooks nor a purge hold up the reaper.
All of it is safe to run in any number of workers at once: each step is one conditional transaction.
Knows no inspection content.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from celery import Celery
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError

from app.db import clock
from app.db.session import Database
from app.inspections.reaper import WATCHED_BEATS, Reaper
from app.models import Dispatch, WorkerBeat
from app.purge import Purger
from worker.celery_app import INSPECT_TASK
from worker.runner import Runner
from worker.senders import Senders

logger = logging.getLogger("clipvet.worker")

_BATCH = 100
_FORGET_WORKER = timedelta(days=1)


def relay(database: Database, celery: Celery | None) -> int:
    """Take waiting wake-ups out of the outbox and send them; without a broker only forget them.

    At most once: idle workers look at the queue themselves (``Runner.work``), so a wake-up that is
    lost costs a moment, while a backlog of them, sent when the broker is back, would wake everybody
    for nothing. Raises ``kombu.exceptions.OperationalError`` when the broker does not answer.
    """
    with database.begin() as session:
        rows = list(
            session.scalars(
                select(Dispatch)
                .order_by(Dispatch.id)
                .limit(_BATCH)
                .with_for_update(skip_locked=True)
            )
        )
        for row in rows:
            session.delete(row)
    if celery is not None:
        for row in rows:
            celery.send_task(INSPECT_TASK, args=[row.inspection_id], retry=False)
    return len(rows)


def beat(database: Database, runner: Runner) -> None:
    """Say that this worker lives and what it works on."""
    with database.begin() as session:
        now = clock.now(session)
        row = session.get(WorkerBeat, runner.owner)
        if row is None:
            row = WorkerBeat(id=runner.owner, started_at=now)
            session.add(row)
        row.last_seen_at, row.inspection_id = now, runner.current
        session.execute(delete(WorkerBeat).where(WorkerBeat.last_seen_at < now - _FORGET_WORKER))


class Housekeeping:
    """The threads of one worker beside its jobs."""

    def __init__(self, runner: Runner, celery: Celery | None) -> None:
        self._runner = runner
        self._celery = celery
        settings = runner.settings
        self._reaper = Reaper(
            runner.database, settings.max_worker_losses, watch_s=WATCHED_BEATS * settings.keep_s
        )
        self._senders = Senders(runner.database, runner.settings)
        purger = Purger(runner.settings, runner.database, runner.store, runner.shutdown)
        steps = {
            "housekeeping": self._tick,
            "wake-ups": self._relay,
            "webhooks": self._deliver,
            "purger": purger.run_when_due,
        }
        self._threads = [
            threading.Thread(target=self._loop, args=(step,), name=name, daemon=True)
            for name, step in steps.items()
        ]

    def start(self) -> None:
        """Start the threads, which go on until :meth:`stop`."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait for the running step of each thread, then for webhooks until their deadline.

        ``runner.shutdown`` must be set.
        """
        for thread in self._threads:
            thread.join(timeout=20)
        if not any(thread.is_alive() for thread in self._threads):
            self._senders.drain()

    def _loop(self, step: Callable[[], None]) -> None:
        shutdown = self._runner.shutdown
        while not shutdown.wait(self._runner.settings.housekeeping_s):
            try:
                step()
            except (SQLAlchemyError, BrokerError) as error:
                logger.warning("housekeeping: %s", type(error).__name__)
            except Exception:
                logger.exception("housekeeping failed; it goes on")

    def _tick(self) -> None:
        beat(self._runner.database, self._runner)
        self._reaper.reap()

    def _relay(self) -> None:
        while relay(self._runner.database, self._celery) == _BATCH:
            pass

    def _deliver(self) -> None:
        self._senders.send_due(self._runner.shutdown)
