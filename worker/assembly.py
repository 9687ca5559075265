"""Builds the one worker of this process from the settings. Wiring only."""

from __future__ import annotations

import functools
import hashlib
import socket
import threading

from celery import Celery

from app import leftovers
from app.db.ids import new_id
from app.db.session import Database
from app.settings import Settings
from app.storage import open_store
from worker.housekeeping import Housekeeping
from worker.runner import Runner

_GIVE_BACK_S = 20.0
"""To note that the current job goes back; while the database is away it is left to the reaper."""


def owner_prefix(settings: Settings) -> str:
    """Names the data folder on this machine: an embedded worker is alone on it."""
    folder = hashlib.sha256(str(settings.data_dir.absolute()).encode()).hexdigest()[:8]
    return f"{socket.gethostname()[:24]}/{folder}/"


class Worker:
    """Runner and housekeeping of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.resolved_database_url)
        owner = owner_prefix(settings) + new_id("wrk")[-12:]
        self.runner = Runner(settings, self.database, open_store(settings), owner)
        self._housekeeping: Housekeeping | None = None
        self._jobs: threading.Thread | None = None

    def start(self, celery: Celery | None) -> None:
        """Sweep what dead workers left, and begin housekeeping.

        With a broker, begin to look for jobs beside its messages, too.
        """
        leftovers.sweep(self.settings.scratch_dir)
        self._housekeeping = Housekeeping(self.runner, celery)
        self._housekeeping.start()
        if celery is not None:
            self._jobs = threading.Thread(target=self.runner.work, name="jobs", daemon=True)
            self._jobs.start()

    def stop(self) -> None:
        """Give the current job back and end the child."""
        self.runner.shutdown.set()
        if self._jobs is not None:
            self._jobs.join(timeout=_GIVE_BACK_S)
        self.runner.close()
        if self._housekeeping is not None:
            self._housekeeping.stop()
        self.database.close()


@functools.cache
def worker() -> Worker:
    """The worker of this process, built on first use."""
    return Worker(Settings())
