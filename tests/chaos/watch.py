"""Looks at the rows every two seconds, past all faults: what has ended stays so, and nothing lies about.

From the moment at which everything was mended two spells are measured. *Unattended*: an inspection is
being worked on by nobody, that is, its lease has run out. *Idle*: an inspection may begin now while fewer
are worked on than there are workers. A queue that keeps all workers busy is neither, however long it is.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import psycopg

from app.models import ACTIVE, TERMINAL
from tests.chaos.world import World

_LOOK_S = 2.0
_QUERY = """
    SELECT id, status, verdict, attempt,
        lease_until < clock_timestamp() AS is_unattended,
        status = 'queued' AND coalesce(not_before <= clock_timestamp(), true) AS may_begin
    FROM inspections
"""


class Watch:
    """Use ``start`` and ``stop``; figures may be read at any time."""

    def __init__(self, world: World) -> None:
        self.unattended_s = 0.0
        self.idle_s = 0.0
        self.ended = 0
        self.total = 0
        self.last_end_at = time.monotonic()
        self._world = world
        self._endings: dict[str, tuple[Any, ...]] = {}
        self._since: dict[str, float] = {}
        self._mended = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def everything_is_mended(self) -> None:
        """From now on spells count."""
        self._mended = True
        self.last_end_at = time.monotonic()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_S):
            with contextlib.suppress(psycopg.OperationalError):
                self._look(self._world.rows(_QUERY))

    def _look(self, rows: list[dict[str, Any]]) -> None:
        now = time.monotonic()
        endings = {
            row["id"]: (row["status"], row["verdict"], row["attempt"])
            for row in rows
            if row["status"] in TERMINAL
        }
        for identifier, ending in self._endings.items():
            if endings.get(identifier) != ending:
                self._world.record.write(
                    "ending_changed", id=identifier, was=ending, now=endings.get(identifier)
                )
        if len(endings) > self.ended:
            self.last_end_at = now
        self._endings, self.ended, self.total = endings, len(endings), len(rows)
        if self._mended:
            self._measure(rows, now)

    def _measure(self, rows: list[dict[str, Any]], now: float) -> None:
        busy = [row for row in rows if row["status"] in ACTIVE and not row["is_unattended"]]
        spells = {row["id"] for row in rows if row["status"] in ACTIVE and row["is_unattended"]}
        if any(row["may_begin"] for row in rows) and len(busy) < len(self._world.workers):
            spells.add("idle")
        self._since = {name: self._since.get(name, now) for name in spells}
        for name, since in self._since.items():
            if name == "idle":
                self.idle_s = max(self.idle_s, now - since)
            else:
                self.unattended_s = max(self.unattended_s, now - since)
