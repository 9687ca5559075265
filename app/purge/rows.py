"""Rows whose time is over, and the bytes that only they knew of.

The row goes first, in a transaction that has looked again; bytes that a crash leaves behind are
orphans from then on, which ``orphans`` finds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, tuple_
from sqlalchemy.orm import Session

from app.db import clock
from app.db.session import Database
from app.errors import StoreUnavailable
from app.models import TERMINAL, IdempotencyKey, Inspection, Upload, UploadPart
from app.purge.tally import Item, Order
from app.storage import Store
from inspector.options import Options, specs

logger = logging.getLogger("clipvet.purge")

_BATCH = 200

Condition = Callable[[Session], ColumnElement[bool]]


def expired_uploads(database: Database, store: Store, order: Order) -> Iterator[Item]:
    """Uploads that nobody completed in time, with their parts."""
    for upload_id in _ids(database, lambda session: _has_expired(session, order)):
        if order.stop.is_set():
            return
        with database.begin() as session:
            upload = _again(session, upload_id, _has_expired(session, order))
            if upload is None:
                continue
            query = select(func.coalesce(func.sum(UploadPart.size), 0))
            size = session.scalar(query.where(UploadPart.upload_id == upload_id)) or 0
            if not order.dry_run:
                session.delete(upload)
        if not order.dry_run and upload.store_ref is not None:
            with _left_for_later():
                store.drop_parts(upload.storage_key, upload.store_ref)
        yield Item("expired uploads", upload_id, int(size))


def old_uploads(database: Database, store: Store, order: Order) -> Iterator[Item]:
    """Bytes beyond the time that uploads are kept for; row, hash and results stay."""
    if order.retain is None:
        return
    for upload_id in _ids(database, lambda session: _is_retired(session, order)):
        if order.stop.is_set():
            return
        with database.begin() as session:
            upload = _again(session, upload_id, _is_retired(session, order))
            if upload is None:
                continue
            if not order.dry_run:
                upload.status = "purged"
        if not order.dry_run:
            with _left_for_later():
                store.delete(upload.storage_key)
        yield Item("retired uploads", upload_id, upload.size)


def expired_keys(database: Database, _store: Store, order: Order) -> Iterator[Item]:
    """Answers that are not repeated any more."""
    key = tuple_(IdempotencyKey.tenant, IdempotencyKey.key)
    after = ("", "")
    while not order.stop.is_set():
        with database.begin() as session:
            is_over = IdempotencyKey.created_at < clock.now(session) - order.key_ttl
            query = select(IdempotencyKey.tenant, IdempotencyKey.key).where(is_over, key > after)
            query = query.order_by(IdempotencyKey.tenant, IdempotencyKey.key)
            found = session.execute(query.limit(_BATCH))
            rows = [(row.tenant, row.key) for row in found]
            if not order.dry_run:
                session.execute(delete(IdempotencyKey).where(is_over, key.in_(rows)))
        yield from (Item("expired idempotency keys", name) for _, name in rows)
        if len(rows) < _BATCH:
            return
        after = rows[-1]


def _has_expired(session: Session, order: Order) -> ColumnElement[bool]:
    over = Upload.expires_at < clock.now(session) - order.grace
    return Upload.status.in_(("open", "joining")) & over


def _is_retired(session: Session, order: Order) -> ColumnElement[bool]:
    assert order.retain is not None
    needed = exists().where(
        Inspection.status.not_in(TERMINAL),
        or_(
            Inspection.upload_id == Upload.id,
            *(
                Inspection.request[spec.name].as_string() == Upload.id
                for spec in specs(Options, "rest")
                if spec.is_pictures
            ),
        ),
    )
    over = Upload.completed_at < clock.now(session) - order.retain
    return (Upload.status == "stored") & over & ~needed


def _ids(database: Database, condition: Condition) -> Iterator[str]:
    """Identifiers of all rows that look ripe, a batch at a time.

    Each is looked at again under its lock.
    """
    after = ""
    while True:
        with database.read() as session:
            query = select(Upload.id).where(condition(session), Upload.id > after)
            ids = list(session.scalars(query.order_by(Upload.id).limit(_BATCH)))
        yield from ids
        if len(ids) < _BATCH:
            return
        after = ids[-1]


def _again(session: Session, upload_id: str, condition: ColumnElement[bool]) -> Upload | None:
    """The row, locked, if it is still ripe."""
    if session.get(Upload, upload_id, with_for_update=True) is None:
        return None
    # Asked once more: what the condition reads of other tables may have changed before the lock.
    return session.scalar(select(Upload).where(Upload.id == upload_id, condition))


@contextmanager
def _left_for_later() -> Iterator[None]:
    try:
        yield
    except (StoreUnavailable, OSError) as error:
        logger.info("purge: bytes stay for the next time: %s", type(error).__name__)
