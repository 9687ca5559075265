"""Endpoints, events and deliveries as rows; the delivery rows are the webhook outbox.

``publish`` runs inside the transaction that changes the state, so an event exists exactly when the
change does. Sending is the worker's part (``worker.senders``); it asks which endpoints have
something due, takes one row at a time by lease and records each attempt here. Knows no HTTP.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, func, or_, select, update
from sqlalchemy.orm import Session

from app.db import clock
from app.db.base import DEFAULT_TENANT, UtcDateTime
from app.db.ids import new_id
from app.db.session import Database
from app.errors import Conflict, NotFound
from app.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.webhooks.signing import new_secret

_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; ``id`` becomes ``webhook-id``."""

    id: str
    type: str
    inspection_id: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """``events`` empty: all types. ``inspection_id``: only that inspection's events."""

    url: str
    events: Sequence[str] = ()
    secret: str | None = None
    description: str = ""
    inspection_id: str | None = None


def add_endpoint(session: Session, new: NewEndpoint) -> WebhookEndpoint:
    """The URL must have passed ``targets.check_url``. Nothing is ever fetched here."""
    endpoint = WebhookEndpoint(
        id=new_id("whe"),
        url=new.url,
        events=list(new.events),
        secret=new.secret or new_secret(),
        description=new.description,
        inspection_id=new.inspection_id,
    )
    session.add(endpoint)
    session.flush()
    return endpoint


def get_endpoint(session: Session, endpoint_id: str) -> WebhookEndpoint:
    """Raises ``NotFound`` also for deleted ones."""
    endpoint = session.get(WebhookEndpoint, endpoint_id)
    if endpoint is None or endpoint.deleted_at is not None:
        raise NotFound(f"no webhook endpoint {endpoint_id[:60]!r}")
    return endpoint


def list_endpoints(session: Session, *, before_id: str | None, limit: int) -> list[WebhookEndpoint]:
    """Standing endpoints, newest first; those of single inspections are left out."""
    query = (
        select(WebhookEndpoint)
        .where(WebhookEndpoint.deleted_at.is_(None), WebhookEndpoint.inspection_id.is_(None))
        .order_by(WebhookEndpoint.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        query = query.where(WebhookEndpoint.id < before_id)
    return list(session.scalars(query))


def delete_endpoint(session: Session, endpoint_id: str) -> None:
    """Nothing more is sent there; the delivery log stays. Raises ``NotFound``."""
    endpoint = get_endpoint(session, endpoint_id)
    endpoint.deleted_at = clock.now(session)
    _drop_pending(session, endpoint.id)


def publish(session: Session, event: Event) -> None:
    """One delivery row per endpoint that wants the event, in the caller's transaction."""
    endpoints = session.scalars(
        select(WebhookEndpoint).where(
            WebhookEndpoint.tenant == DEFAULT_TENANT,
            WebhookEndpoint.deleted_at.is_(None),
            WebhookEndpoint.disabled_at.is_(None),
            or_(
                WebhookEndpoint.inspection_id.is_(None),
                WebhookEndpoint.inspection_id == event.inspection_id,
            ),
        )
    )
    now = clock.now(session)
    payload = json.dumps(
        {"type": event.type, "timestamp": now.isoformat(), "data": event.data},
        separators=(",", ":"),
    )
    for endpoint in endpoints:
        if endpoint.events and event.type not in endpoint.events:
            continue
        session.add(
            WebhookDelivery(
                id=new_id("del"),
                endpoint_id=endpoint.id,
                inspection_id=event.inspection_id,
                event_id=event.id,
                event_type=event.type,
                payload=payload,
                next_attempt_at=now,
            )
        )


def list_deliveries(
    session: Session,
    *,
    endpoint_id: str | None,
    inspection_id: str | None,
    before_id: str | None,
    limit: int,
) -> list[tuple[WebhookDelivery, list[WebhookAttempt]]]:
    """Newest first, each with its attempts in order."""
    query = select(WebhookDelivery).order_by(WebhookDelivery.id.desc()).limit(limit)
    if endpoint_id is not None:
        query = query.where(WebhookDelivery.endpoint_id == endpoint_id)
    if inspection_id is not None:
        query = query.where(WebhookDelivery.inspection_id == inspection_id)
    if before_id is not None:
        query = query.where(WebhookDelivery.id < before_id)
    deliveries = list(session.scalars(query))
    attempts: dict[str, list[WebhookAttempt]] = {delivery.id: [] for delivery in deliveries}
    for attempt in session.scalars(
        select(WebhookAttempt)
        .where(WebhookAttempt.delivery_id.in_(attempts))
        .order_by(WebhookAttempt.id)
    ):
        attempts[attempt.delivery_id].append(attempt)
    return [(delivery, attempts[delivery.id]) for delivery in deliveries]


def redeliver(session: Session, delivery_id: str) -> WebhookDelivery:
    """Send again, now, under the same ``webhook-id``; an attempt that is under way will do.

    Raises:
        NotFound: no such delivery.
        Conflict: its endpoint is deleted or disabled.
    """
    delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if delivery is None:
        raise NotFound(f"no delivery {delivery_id[:60]!r}")
    endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id)
    if endpoint.deleted_at is not None or endpoint.disabled_at is not None:
        raise Conflict("the endpoint is deleted or disabled", code="endpoint_inactive")
    delivery.status = "pending"
    delivery.attempts = 0
    delivery.next_attempt_at = clock.now(session)
    return delivery


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """Everything one attempt needs, read under its lease."""

    delivery_id: str
    url: str
    secret: str
    event_id: str
    payload: bytes
    lease_until: datetime | None = None
    """Tells whether the row is still ours when the attempt is recorded."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What one POST came to; ``retry_after_s`` is the receiver's own wish."""

    started_at: datetime
    finished_at: datetime
    address: str | None
    status_code: int | None
    error: str | None
    response_excerpt: str = ""
    retry_after_s: float | None = None

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver answered 2xx; a redirect is no delivery."""
        return self.status_code is not None and 200 <= self.status_code < 300


@dataclass(frozen=True, slots=True)
class Waiting:
    """An endpoint that something is due for, and since when."""

    endpoint_id: str
    url: str
    due_at: datetime


def waiting(database: Database) -> list[Waiting]:
    """One line per endpoint that has a due delivery which nobody is sending."""
    with database.read() as session:
        rows = session.execute(
            select(
                WebhookDelivery.endpoint_id,
                WebhookEndpoint.url,
                func.min(WebhookDelivery.next_attempt_at, type_=UtcDateTime),
            )
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .where(*_is_due(clock.now(session)))
            .group_by(WebhookDelivery.endpoint_id, WebhookEndpoint.url)
        )
        return [Waiting(name, url, due_at) for name, url, due_at in rows if due_at is not None]


def take_due(database: Database, endpoint_id: str, lease_s: float) -> DueDelivery | None:
    """Lease the endpoint's delivery that has waited longest past its time; None if there is none.

    Of any number of workers that ask at once one gets it. ``lease_s`` must outlast the attempt.
    """
    with database.begin() as session:
        now = clock.now(session)
        due = session.scalar(
            select(WebhookDelivery)
            .where(WebhookDelivery.endpoint_id == endpoint_id, *_is_due(now))
            .order_by(WebhookDelivery.next_attempt_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if due is None:
            return None
        until = now + timedelta(seconds=lease_s)
        taken: CursorResult[Any] = session.execute(  # type: ignore[assignment]
            update(WebhookDelivery)
            .where(WebhookDelivery.id == due.id, *_is_due(now))
            .values(lease_until=until)
            .execution_options(synchronize_session=False)
        )
        if taken.rowcount != 1:
            return None
        endpoint = session.get_one(WebhookEndpoint, endpoint_id)
        return DueDelivery(
            due.id, endpoint.url, endpoint.secret, due.event_id, due.payload.encode(), until
        )


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        WebhookDelivery.status == "pending",
        WebhookDelivery.next_attempt_at <= now,
        or_(WebhookDelivery.lease_until.is_(None), WebhookDelivery.lease_until < now),
    )


def record_attempt(
    database: Database, due: DueDelivery, result: AttemptResult, retry_s: Sequence[float]
) -> None:
    """Log the attempt; settle the delivery or plan the next one. 410 disables the endpoint.

    ``retry_s``: the wait before each attempt, as many as there may be. Who lost the row meanwhile,
    or whose endpoint is gone, only logs, unless the receiver took the event.
    """
    with database.begin() as session:
        delivery = session.get(WebhookDelivery, due.delivery_id, with_for_update=True)
        if delivery is None:
            return
        session.add(
            WebhookAttempt(
                delivery_id=delivery.id,
                started_at=result.started_at,
                finished_at=result.finished_at,
                address=result.address,
                status_code=result.status_code,
                error=_storable(result.error, 255) if result.error else None,
                response_excerpt=_storable(result.response_excerpt, 1024),
            )
        )
        is_held = delivery.lease_until == due.lease_until
        if is_held:
            delivery.lease_until = None
        if result.is_delivered or (is_held and delivery.status == "pending"):
            delivery.attempts += 1
            _settle(session, delivery, result, retry_s)


def _settle(
    session: Session, delivery: WebhookDelivery, result: AttemptResult, retry_s: Sequence[float]
) -> None:
    if result.is_delivered:
        delivery.status, delivery.next_attempt_at = "delivered", None
    elif result.status_code == 410:
        endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id)
        endpoint.disabled_at = clock.now(session)
        endpoint.disabled_reason = "the receiver answered 410 Gone"
        session.flush()
        _drop_pending(session, endpoint.id)
    elif delivery.attempts >= len(retry_s):
        delivery.status, delivery.next_attempt_at = "failed", None
    else:
        planned = retry_s[delivery.attempts] * (1 + random.uniform(0, _JITTER))
        wait_s = max(planned, min(result.retry_after_s or 0.0, retry_s[-1]))
        delivery.next_attempt_at = clock.now(session) + timedelta(seconds=wait_s)


def _storable(text: str, length: int) -> str:
    """What every database takes: no NUL (PostgreSQL), no lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "")[:length]


def _drop_pending(session: Session, endpoint_id: str) -> None:
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.status == "pending")
        .values(status="failed", next_attempt_at=None)
    )
