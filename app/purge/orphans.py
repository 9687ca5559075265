"""What lies in the store and no row names.

A batch is listed first and judged by the rows after that. Bytes of an upload that is still
open, and of an inspection that has not ended, are never touched, however old they are:
somebody may be at work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from sqlalchemy import select

from app import keys
from app.db import clock
from app.db.session import Database
from app.models import TERMINAL, Artifact, Inspection, Upload
from app.purge.tally import Item, Kind, Order
from app.storage import Store

_BATCH = 200

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the database says about the owners of some keys."""

    now: datetime
    uploads: dict[str, tuple[str, str]]
    """Status and key of the object, by id."""
    inspections: dict[str, str]
    artifacts: set[str]

    def is_over(self, owner: keys.Owner) -> bool:
        """Whether nothing more can come from there; an owner that is gone is over, too."""
        match owner.kind:
            case "uploads":
                return self.uploads.get(owner.id, ("gone", ""))[0] not in ("open", "joining")
            case "inspections":
                status = self.inspections.get(owner.id)
                return status is None or status in TERMINAL
        return True

    def is_named(self, owner: keys.Owner, key: str) -> bool:
        """Whether a row promises that the object can be read."""
        if owner.kind == "uploads":
            return self.uploads.get(owner.id) == ("stored", key)
        return key in self.artifacts


def orphan_objects(database: Database, store: Store, order: Order) -> Iterator[Item]:
    """Objects of attempts that lost or died, of uploads that are gone, and canonical tensors."""
    for batch in _batches(store.objects()):
        rows = _rows_of(database, [found.key for found in batch])
        for found in batch:
            if order.stop.is_set():
                return
            owner = keys.owner_of(found.key)
            if owner is None or not rows.is_over(owner) or rows.is_named(owner, found.key):
                continue
            if not order.is_old(found.modified, rows.now):
                continue
            if not order.dry_run:
                store.delete(found.key)
            kind: Kind = "canonical objects" if owner.kind == "canonical" else "orphan objects"
            yield Item(kind, found.key, found.size)


def orphan_parts(database: Database, store: Store, order: Order) -> Iterator[Item]:
    """Uploads in parts that no open upload and no running attempt can join any more."""
    for batch in _batches(store.unfinished()):
        rows = _rows_of(database, [found.key for found in batch])
        for found in batch:
            if order.stop.is_set():
                return
            owner = keys.owner_of(found.key)
            if owner is None or not rows.is_over(owner):
                continue
            if not order.is_old(found.begun, rows.now):
                continue
            if not order.dry_run:
                store.drop_parts(found.key, found.ref)
            yield Item("unfinished uploads in parts", found.key, found.size or 0)


def _rows_of(database: Database, found: list[str]) -> _Rows:
    owners = {owner for key in found if (owner := keys.owner_of(key)) is not None}
    uploads = [owner.id for owner in owners if owner.kind == "uploads"]
    inspections = [owner.id for owner in owners if owner.kind == "inspections"]
    with database.read() as session:
        told = session.execute(
            select(Upload.id, Upload.status, Upload.storage_key).where(Upload.id.in_(uploads))
        )
        ended = session.execute(
            select(Inspection.id, Inspection.status).where(Inspection.id.in_(inspections))
        )
        # After the status: whoever has ended has all its files in rows by then.
        by_id = {row.id: row.status for row in ended}
        kept = session.scalars(
            select(Artifact.storage_key).where(Artifact.inspection_id.in_(inspections))
        )
        return _Rows(
            clock.now(session),
            {row.id: (row.status, row.storage_key) for row in told},
            by_id,
            set(kept),
        )


def _batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    rest = iter(found)
    while batch := list(islice(rest, _BATCH)):
        yield batch
