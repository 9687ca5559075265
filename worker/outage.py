"""When what a job needs is away: store, database, room on the disk.

A job that is under way waits where it is (:class:`Patience`); a worker that had to give
one back takes none until all is there again (:class:`Surroundings`). Neither costs the job
an attempt. Knows no job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

from sqlalchemy import select

from app import leftovers
from app.db.session import AWAY, Database
from app.errors import StoreUnavailable
from app.storage import Store
from app.storage.space import shortage
from worker.faults import classify
from worker.keeper import LeaseKeeper

logger = logging.getLogger("clipvet.worker")

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 5.0
_Result = TypeVar("_Result")


class Patience:
    """Repeats a step for as long as store or database do not answer, while the lease is kept."""

    def __init__(self, keeper: LeaseKeeper, tell: Callable[[str], None]) -> None:
        self._keeper = keeper
        self._tell = tell

    def with_step(self, step: Callable[[], _Result], longest_s: float) -> _Result:
        """What ``step`` returns; it must bear repeating.

        Raises:
            What ended the job meanwhile (``LeaseKeeper.check``), or what the step raised: at once
            where that is no outage, and when one lasts ``longest_s``.
        """
        ends_at = time.monotonic() + longest_s
        wait_s = _FIRST_WAIT_S
        while True:
            self._keeper.check()
            try:
                return step()
            except (StoreUnavailable, *AWAY) as error:
                if time.monotonic() >= ends_at:
                    raise
                self._tell(f"waiting: {classify(error).message}")
            self._keeper.wait(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


class Surroundings:
    """Asked before each claim; believed to be well until an outage was met."""

    def __init__(self, database: Database, store: Store, scratch: Path, room_bytes: int) -> None:
        self._database = database
        self._store = store
        self._scratch = scratch
        self._room_bytes = room_bytes
        self._wait_s = 0.0
        self._next_look = 0.0

    def doubt(self) -> None:
        """An outage was met: the next claim waits until everything answers."""
        self._wait_s = min(max(2 * self._wait_s, _FIRST_WAIT_S), _LONGEST_WAIT_S)
        self._next_look = time.monotonic() + self._wait_s

    def is_well(self) -> bool:
        """Never waits longer than the checks themselves take; looks seldom during an outage."""
        if not self._wait_s:
            return True
        if time.monotonic() < self._next_look:
            return False
        missing = self._missing()
        if missing is None:
            self._wait_s = 0.0
            logger.info("everything is there again; taking jobs")
            return True
        logger.warning("taking no job: %s", missing)
        self.doubt()
        return False

    def has_room(self) -> bool:
        """Whether the scratch folder, and where temporary files lie, take some now."""
        try:
            with leftovers.new_folder(self._scratch) as folder:
                (folder / "probe").write_bytes(b"x" * 4096)
            with TemporaryFile() as elsewhere:
                elsewhere.write(b"x" * 4096)
            return shortage(self._scratch, self._room_bytes) is None
        except OSError:
            return False

    def _missing(self) -> str | None:
        if not self.has_room():
            return "the scratch folder is full or cannot be written"
        try:
            with self._database.read() as session:
                session.execute(select(1))
            self._store.check()
        except (StoreUnavailable, *AWAY) as error:
            return classify(error).message
        return None
