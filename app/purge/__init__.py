"""Deletes what nobody can ask for any more, and says what it was.

Each judgement stays true once it is true (an ended inspection takes no more files, a stored upload
keeps its key, an id never comes back), so it holds in any number of workers at a time and beside
everything else. Rows are looked at after the store was listed: whatever lies there was there after
its row. A store (bucket and prefix, or folder) therefore belongs to one database. Knows no HTTP.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from sqlalchemy.exc import SQLAlchemyError

from app.db.session import Database
from app.errors import StoreUnavailable
from app.purge.orphans import orphan_objects, orphan_parts
from app.purge.rows import expired_keys, expired_uploads, old_uploads
from app.purge.tally import KINDS, Item, Order, Tally
from app.purge.turn import Turn
from app.settings import Settings
from app.storage import Store

__all__ = ["KINDS", "Item", "Order", "Purger", "Tally", "purge"]

logger = logging.getLogger("clipvet.purge")

_STEPS: tuple[Callable[[Database, Store, Order], Iterator[Item]], ...] = (
    expired_uploads,
    old_uploads,
    expired_keys,
    orphan_parts,
    orphan_objects,
)


def purge(database: Database, store: Store, order: Order) -> Tally:
    """Go through everything once.

    A step that meets a fault is named in ``Tally.faults``; the others go on.
    """
    tally = Tally(order)
    for step in _STEPS:
        try:
            for item in step(database, store, order):
                tally.add(item)
        except (StoreUnavailable, SQLAlchemyError, OSError) as error:
            logger.warning("purge: %s was cut short", step.__name__, exc_info=error)
            tally.faults[step.__name__] = type(error).__name__
        if order.stop.is_set():
            break
    return tally


class Purger:
    """A worker's share in purging.

    ``run_when_due`` is called again and again, and mostly does nothing.
    """

    def __init__(
        self, settings: Settings, database: Database, store: Store, stop: threading.Event
    ) -> None:
        self._database = database
        self._store = store
        self._order = Order.of(settings, stop=stop)
        self._turn = Turn(database, settings.purge_s)

    def run_when_due(self) -> None:
        """Purge if it is time and no other worker has the turn; ends early when ``stop`` is set."""
        if not self._turn.take():
            return
        tally = purge(self._database, self._store, self._order)
        for kind in KINDS:
            if tally.count[kind]:
                logger.info("purged %d %s, %d bytes", tally.count[kind], kind, tally.size[kind])
