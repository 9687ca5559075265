"""JSON shapes of webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.webhooks.signing import SECRET, decode_secret

EventType = Literal[
    "inspection.completed", "inspection.failed", "inspection.canceled", "inspection.expired"
]


def _check_secret(secret: str) -> str:
    decode_secret(secret)
    return secret


Secret = Annotated[
    str,
    StringConstraints(max_length=120),
    AfterValidator(_check_secret),
    Field(json_schema_extra={"pattern": SECRET}),
]
Url = Annotated[
    str,
    StringConstraints(min_length=8, max_length=2000),
    Field(json_schema_extra={"pattern": r"^https?://[^\x00-\x1f\x7f]*$"}),
]
"""What else is asked of it depends on the server: ``app.webhooks.targets``."""


class WebhookWish(BaseModel):
    """Where to send events; ``events`` left out means all."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: Annotated[list[EventType], Field(max_length=20)] = []
    secret: Annotated[
        Secret | None, Field(description="Left out: one is made and shown in this answer only.")
    ] = None


class EndpointCreate(WebhookWish):
    """A standing endpoint."""

    description: Annotated[
        str, StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")
    ] = ""


class EndpointView(BaseModel):
    """An endpoint; the secret is shown once, in the answer that creates it."""

    id: str
    url: str
    events: list[str]
    description: str
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    secret: str | None = None

    @classmethod
    def of(cls, endpoint: WebhookEndpoint, *, with_secret: bool = False) -> EndpointView:
        return cls(
            id=endpoint.id,
            url=endpoint.url,
            events=endpoint.events,
            description=endpoint.description,
            created_at=endpoint.created_at,
            disabled_at=endpoint.disabled_at,
            disabled_reason=endpoint.disabled_reason,
            secret=endpoint.secret if with_secret else None,
        )


class AttemptView(BaseModel):
    """One POST."""

    started_at: datetime
    finished_at: datetime
    address: str | None
    status_code: int | None
    error: str | None
    response_excerpt: str


class DeliveryView(BaseModel):
    """One event for one endpoint, with everything that was tried."""

    id: str
    endpoint_id: str
    inspection_id: str | None
    event_id: str
    event_type: str
    status: Literal["pending", "delivered", "failed"]
    next_attempt_at: datetime | None
    created_at: datetime
    attempts: list[AttemptView]

    @classmethod
    def of(cls, delivery: WebhookDelivery, attempts: list[WebhookAttempt]) -> DeliveryView:
        names = ("id", "endpoint_id", "inspection_id", "event_id", "event_type", "status")
        fields = {name: getattr(delivery, name) for name in names}
        tried = [AttemptView.model_validate(attempt, from_attributes=True) for attempt in attempts]
        return cls(
            **fields,
            next_attempt_at=delivery.next_attempt_at,
            created_at=delivery.created_at,
            attempts=tried,
        )
