"""Endpoints, events and deliveries as rows; the delivery rows are the webhook outbox.

``publish`` runs inside the transaction that changes the state, so an event exists exactly when the
change does. Sending is the worker's part (``worker.delivery``); it takes due rows by lease and
records each attempt here. Knows no HTTP. Retry schedule: Standard Webhooks 1.0.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, or_, select, update
from sqlalchemy.orm import Session

from app.db.base import DEFAULT_TENANT, utcnow
from app.db.ids import new_id
from app.db.session import Database
from app.errors import Conflict, NotFound
from app.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.webhooks.signing import new_secret

RETRY_SCHEDULE_S = (
    0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400,
)  # fmt: skip
"""Wait before attempt n: 0 s, 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""

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
    endpoint.deleted_at = utcnow()
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
    now = utcnow()
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
    """Send again, now, under the same ``webhook-id``.

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
    delivery.next_attempt_at = utcnow()
    delivery.lease_until = None
    return delivery


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """Everything one attempt needs, read under its lease."""

    delivery_id: str
    url: str
    secret: str
    event_id: str
    payload: bytes


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
        return self.status_code is not None and 200 <= self.status_code < 300


def take_due(database: Database, lease_s: float) -> DueDelivery | None:
    """Lease the delivery that has waited longest past its time."""
    with database.begin() as session:
        now = utcnow()
        is_free = or_(WebhookDelivery.lease_until.is_(None), WebhookDelivery.lease_until < now)
        due = session.scalar(
            select(WebhookDelivery)
            .where(
                WebhookDelivery.status == "pending", WebhookDelivery.next_attempt_at <= now, is_free
            )
            .order_by(WebhookDelivery.next_attempt_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if due is None:
            return None
        taken: CursorResult[Any] = session.execute(  # type: ignore[assignment]
            update(WebhookDelivery)
            .where(WebhookDelivery.id == due.id, is_free)
            .values(lease_until=now + timedelta(seconds=lease_s))
            .execution_options(synchronize_session=False)
        )
        if taken.rowcount != 1:
            return None
        endpoint = session.get_one(WebhookEndpoint, due.endpoint_id)
        return DueDelivery(
            due.id, endpoint.url, endpoint.secret, due.event_id, due.payload.encode()
        )


def record_attempt(database: Database, due: DueDelivery, result: AttemptResult) -> None:
    """Log the attempt; settle the delivery or plan the next one. 410 disables the endpoint."""
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
                error=result.error[:255] if result.error else None,
                response_excerpt=result.response_excerpt[:1024],
            )
        )
        delivery.attempts += 1
        delivery.lease_until = None
        if result.is_delivered:
            delivery.status, delivery.next_attempt_at = "delivered", None
        elif result.status_code == 410:
            endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id)
            endpoint.disabled_at = utcnow()
            endpoint.disabled_reason = "the receiver answered 410 Gone"
            session.flush()
            _drop_pending(session, endpoint.id)
        elif delivery.attempts >= len(RETRY_SCHEDULE_S):
            delivery.status, delivery.next_attempt_at = "failed", None
        else:
            delivery.next_attempt_at = result.finished_at + timedelta(
                seconds=_wait_s(delivery.attempts, result.retry_after_s)
            )


def _wait_s(attempts: int, retry_after_s: float | None) -> float:
    planned = RETRY_SCHEDULE_S[attempts] * (1 + random.uniform(0, _JITTER))
    return max(planned, min(retry_after_s or 0.0, RETRY_SCHEDULE_S[-1]))


def _drop_pending(session: Session, endpoint_id: str) -> None:
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.status == "pending")
        .values(status="failed", next_attempt_at=None)
    )
