"""Whether what this process needs works now: database, store, space on disks.

Each is looked at in a thread of its own, one look at a time, so that what never answers costs one
thread, holds up no other request, and is told within seconds all the same.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from app.db import clock
from app.db.migrate import is_current
from app.dependencies import Context
from app.errors import StoreUnavailable
from app.models import WorkerBeat
from app.storage import FolderStore
from app.storage.space import shortage

logger = logging.getLogger("clipvet.readiness")

OK = "ok"
LATE = "does not answer"
DEADLINE_S = 4.0
_ALIVE = timedelta(seconds=60)


class Look:
    """One question that may hang, and its answer in time."""

    def __init__(self, name: str, ask: Callable[[], str]) -> None:
        self._name = name
        self._ask = ask
        self._lock = threading.Lock()
        self._begun = 0.0
        self._answer: Future[str] | None = None

    async def answer(self) -> str:
        """Of the look under way, else of a new one; ``LATE`` where there is none in time."""
        with self._lock:
            if self._answer is None or self._answer.done():
                self._begin()
            answer, begun = self._answer, self._begun
        assert answer is not None
        left = begun + DEADLINE_S - time.monotonic()
        await asyncio.wait([asyncio.wrap_future(answer)], timeout=max(left, 0))
        return answer.result() if answer.done() else LATE

    def _begin(self) -> None:
        answer: Future[str] = Future()
        answer.set_running_or_notify_cancel()
        self._answer, self._begun = answer, time.monotonic()
        # A daemon: one that hangs must not keep the process from ending.
        threading.Thread(
            target=self._run, args=(answer,), name=f"ready-{self._name}", daemon=True
        ).start()

    def _run(self, answer: Future[str]) -> None:
        try:
            state = self._ask()
        except Exception:
            logger.exception("%s cannot be looked at", self._name)
            state = "unavailable"
        answer.set_result(state)


class Readiness:
    """All looks of one process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.workers_alive = 0
        """As of the last look at the database that went well."""
        self._looks = {
            "database": Look("database", self._database),
            "store": Look("store", self._store),
            "disk": Look("disk", self._disk),
        }

    async def checks(self) -> dict[str, str]:
        """``ok``, or what is wrong, by what was looked at."""
        states = await asyncio.gather(*(look.answer() for look in self._looks.values()))
        return dict(zip(self._looks, states, strict=True))

    def _database(self) -> str:
        try:
            with self._context.database.glance() as session:
                if not is_current(session):
                    return "schema is not current"
                alive = WorkerBeat.last_seen_at > clock.now(session) - _ALIVE
                self.workers_alive = session.scalar(select(func.count()).where(alive)) or 0
        except SQLAlchemyError:
            return "unavailable"
        return OK

    def _store(self) -> str:
        try:
            self._context.store.check()
        except StoreUnavailable:
            return "unavailable"
        return OK

    def _disk(self) -> str:
        settings, store = self._context.settings, self._context.store
        places = {"data": settings.data_dir.absolute(), "spool": settings.spool_dir}
        if isinstance(store, FolderStore):
            places["store"] = store.root
        short = {
            name: why
            for name, path in places.items()
            if (why := shortage(path, settings.needed_free_bytes))
        }
        return "; ".join(f"{name} {why}" for name, why in short.items()) or OK
