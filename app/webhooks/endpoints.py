"""/v1/webhook_endpoints and /v1/deliveries."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from app.dependencies import ContextDep, IdempotencyDep
from app.errors import Unprocessable
from app.idempotency import Answer
from app.paging import Page, PageToken, before, cut
from app.settings import Settings
from app.strict import StrictRoute
from app.webhooks import service
from app.webhooks.schemas import DeliveryView, EndpointCreate, EndpointView
from app.webhooks.targets import ForbiddenTarget, check_url

router = APIRouter(prefix="/v1", tags=["webhooks"], route_class=StrictRoute)

Id = Annotated[str, Query(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Limit = Annotated[int, Query(ge=1, le=200)]


def check_target(url: str, settings: Settings) -> None:
    """Raises ``Unprocessable`` for a URL that could never be delivered to."""
    try:
        check_url(url, allow_http=settings.webhook_allow_http, allowed=settings.allowed_networks)
    except ForbiddenTarget as error:
        raise Unprocessable(str(error), code="forbidden_webhook_target") from error


@router.post("/webhook_endpoints", status_code=201, response_model=EndpointView)
def add_endpoint(body: EndpointCreate, context: ContextDep, once: IdempotencyDep) -> Response:
    """Register a receiver; the secret is in this answer only."""
    check_target(body.url, context.settings)

    def work(session: Session) -> Answer:
        new = service.NewEndpoint(body.url, body.events, body.secret, body.description)
        endpoint = service.add_endpoint(session, new)
        return Answer(201, EndpointView.of(endpoint, with_secret=True))

    return once.answer(body, work)


@router.get("/webhook_endpoints")
def list_endpoints(
    context: ContextDep, limit: Limit = 50, page_token: PageToken | None = None
) -> Page[EndpointView]:
    """Standing endpoints, newest first."""
    with context.database.read() as session:
        rows = service.list_endpoints(session, before_id=before("whe", page_token), limit=limit + 1)
    return cut([EndpointView.of(row) for row in rows], [row.id for row in rows], limit)


@router.get("/webhook_endpoints/{endpoint_id}")
def get_endpoint(endpoint_id: str, context: ContextDep) -> EndpointView:
    """One endpoint."""
    with context.database.read() as session:
        return EndpointView.of(service.get_endpoint(session, endpoint_id))


@router.delete("/webhook_endpoints/{endpoint_id}", status_code=204)
def delete_endpoint(endpoint_id: str, context: ContextDep) -> None:
    """Send nothing there any more."""
    with context.database.begin() as session:
        service.delete_endpoint(session, endpoint_id)


@router.get("/deliveries")
def list_deliveries(
    context: ContextDep,
    endpoint_id: Id | None = None,
    inspection_id: Id | None = None,
    limit: Limit = 50,
    page_token: PageToken | None = None,
) -> Page[DeliveryView]:
    """The delivery log, newest first."""
    with context.database.read() as session:
        rows = service.list_deliveries(
            session,
            endpoint_id=endpoint_id,
            inspection_id=inspection_id,
            before_id=before("del", page_token),
            limit=limit + 1,
        )
    views = [DeliveryView.of(delivery, attempts) for delivery, attempts in rows]
    return cut(views, [view.id for view in views], limit)


@router.post("/deliveries/{delivery_id}/redeliver", status_code=202)
def redeliver(delivery_id: str, context: ContextDep) -> DeliveryView:
    """Send this event again, now, under the same webhook-id."""
    with context.database.begin() as session:
        delivery = service.redeliver(session, delivery_id)
        return DeliveryView.of(delivery, [])
