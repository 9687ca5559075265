"""Whose turn it is: one worker at a time, by a row that whoever comes first moves on."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from sqlalchemy import CursorResult, or_, update

from app.db import clock
from app.db.session import Database
from app.models import Chore

_LOOK_S = 60.0


class Turn:
    """One worker's look at the row, which it does not bother at every tick."""

    def __init__(self, database: Database, every_s: float) -> None:
        self._database = database
        self._every = timedelta(seconds=every_s)
        self._pause_s = min(every_s, _LOOK_S)
        self._look_at = 0.0

    def take(self) -> bool:
        """Whether to work now. A worker that dies at it leaves the next turn to another."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + self._pause_s
        with self._database.begin() as session:
            now = clock.now(session)
            # Due later than a turn takes: the clock was set back.
            is_due = or_(Chore.due_at <= now, Chore.due_at > now + self._every)
            moved: CursorResult[Any] = session.execute(  # type: ignore[assignment]
                update(Chore)
                .where(Chore.name == "purge", is_due)
                .values(due_at=now + self._every)
                .execution_options(synchronize_session=False)
            )
        return moved.rowcount == 1
