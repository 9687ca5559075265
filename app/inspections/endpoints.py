"""/v1/inspections: create, list, watch, cancel."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.dependencies import Context, ContextDep, IdempotencyDep
from app.documented import carries, problems
from app.errors import Unprocessable
from app.idempotency import Answer
from app.inspections import service
from app.inspections.asked import uploads_named
from app.inspections.policy import Verdict
from app.inspections.schemas import (
    CreatedWebhook,
    EventView,
    InspectionCreate,
    InspectionView,
    StatusName,
)
from app.models import TERMINAL, Inspection
from app.paging import Page, PageToken, after_number, before, cut, cut_history
from app.settings import Settings
from app.strict import StrictRoute
from app.uploads import service as uploads
from app.uploads.schemas import Sha256
from app.webhooks import service as webhooks
from app.webhooks.endpoints import check_target
from inspector.names import UnknownName, understand

router = APIRouter(prefix="/v1/inspections", tags=["inspections"], route_class=StrictRoute)

_LONGEST_WAIT_S = 60.0
_WAIT_POLL_S = 0.25
_RETRY_AFTER_S = "2"
_PREFER_WAIT = re.compile(r"""\s*wait\s*=\s*"?([0-9]{1,9})"?\s*""", re.ASCII | re.IGNORECASE)


@router.post(
    "",
    status_code=202,
    response_model=InspectionView,
    responses=carries(202, "Location", "Retry-After") | problems(404),
)
def create_inspection(
    body: InspectionCreate, context: ContextDep, once: IdempotencyDep
) -> Response:
    """Queue an inspection of stored bytes; watch it under ``Location``."""
    base_url = context.base_url
    if body.webhook is not None:
        check_target(body.webhook.url, context.settings)

    backbone = _understood(body.backbone, context.settings)

    def work(session: Session) -> Answer:
        new = _new_inspection(session, context, body, backbone, base_url)
        row = service.create(session, new)
        webhook = _own_webhook(session, body, row)
        headers = {
            "Location": f"{base_url}/v1/inspections/{row.id}",
            "Retry-After": _RETRY_AFTER_S,
        }
        return Answer(202, InspectionView.of(row, base_url, webhook), headers)

    return once.answer(body, work)


def _understood(backbone: str, settings: Settings) -> str:
    """The one name of what was typed. Raises ``Unprocessable`` where there is none."""
    try:
        return str(understand(backbone, settings.backbones))
    except UnknownName as problem:
        raise Unprocessable(
            str(problem),
            code="unknown_backbone",
            extra={"nearest": problem.nearest, "registered": problem.registered},
        ) from None


def _new_inspection(
    session: Session, context: Context, body: InspectionCreate, backbone: str, base_url: str
) -> service.NewInspection:
    upload = uploads.find_stored(session, upload_id=body.upload_id, sha256=body.sha256)
    request = body.inspector_request(backbone)
    for pictures in uploads_named(request).values():
        uploads.find_stored(session, upload_id=pictures, sha256=None)
    return service.NewInspection(
        upload=upload,
        request=request,
        labels=dict(body.labels),
        fail_on=body.fail_on,
        deadline_s=body.deadline_s or context.settings.default_deadline_s,
        attempts_allowed=context.settings.max_attempts,
        base_url=base_url,
    )


def _own_webhook(
    session: Session, body: InspectionCreate, row: Inspection
) -> CreatedWebhook | None:
    if body.webhook is None:
        return None
    endpoint = webhooks.add_endpoint(
        session,
        webhooks.NewEndpoint(
            body.webhook.url, body.webhook.events, body.webhook.secret, inspection_id=row.id
        ),
    )
    return CreatedWebhook(id=endpoint.id, secret=endpoint.secret)


class ListQuery(BaseModel):
    """Which inspections to list; all filters must hold."""

    status: StatusName | None = None
    verdict: Verdict | None = None
    sha256: Sha256 | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    page_token: PageToken | None = None


@router.get("")
def list_inspections(
    context: ContextDep, query: Annotated[ListQuery, Query()]
) -> Page[InspectionView]:
    """Newest first."""
    wanted = service.Filter(query.status, query.verdict, query.sha256)
    before_id, limit = before("insp", query.page_token), query.limit
    with context.database.read() as session:
        rows = service.newest_first(session, wanted, before_id=before_id, limit=limit + 1)
    base_url = context.base_url
    return cut([InspectionView.of(row, base_url) for row in rows], [r.id for r in rows], limit)


@router.get(
    "/{inspection_id}",
    response_model=InspectionView,
    responses=carries(200, sometimes=("Retry-After",)),
)
async def get_inspection(
    inspection_id: str,
    request: Request,
    context: ContextDep,
    wait: Annotated[float, Query(ge=0, le=_LONGEST_WAIT_S, allow_inf_nan=False)] = 0,
    prefer: Annotated[str | None, Header()] = None,
) -> Response:
    """200 as long as it exists; ``wait`` (or ``Prefer: wait=N``) holds until it has ended."""
    until = time.monotonic() + max(wait, _preferred_wait_s(prefer))
    while True:
        row = await run_in_threadpool(_read, context, inspection_id)
        if row.status in TERMINAL or time.monotonic() >= until:
            break
        if context.closing.is_set() or await request.is_disconnected():
            break
        await asyncio.sleep(min(_WAIT_POLL_S, max(until - time.monotonic(), 0)))
    view = InspectionView.of(row, context.base_url)
    headers = {} if row.status in TERMINAL else {"Retry-After": _RETRY_AFTER_S}
    return JSONResponse(view.model_dump(mode="json"), headers=headers)


@router.get("/{inspection_id}/events")
def list_events(
    inspection_id: str,
    context: ContextDep,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="The last seq you have.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    page_token: PageToken | None = None,
) -> Page[EventView]:
    """The history in order. ``page_token`` goes on where a page ended, as ``after`` does."""
    went_to = after_number(page_token)
    if went_to is not None:
        after = went_to
    with context.database.read() as session:
        service.get(session, inspection_id)
        events = service.events_after(session, inspection_id, after=after, limit=limit + 1)
    views = [EventView.of(event) for event in events]
    return cut_history(views, [view.seq for view in views], limit)


@router.post("/{inspection_id}/cancel", status_code=202)
def cancel_inspection(inspection_id: str, context: ContextDep) -> InspectionView:
    """Ask for the end; repeating it is harmless."""
    with context.database.begin() as session:
        row = service.cancel(session, inspection_id)
    return InspectionView.of(row, context.base_url)


def _read(context: Context, inspection_id: str) -> Inspection:
    with context.database.read() as session:
        return service.get(session, inspection_id)


def _preferred_wait_s(prefer: str | None) -> float:
    """RFC 7240; what is no preference of ours, or no number, is ignored as the RFC has it."""
    for item in (prefer or "").split(","):
        if found := _PREFER_WAIT.fullmatch(item.partition(";")[0]):
            return min(float(found[1]), _LONGEST_WAIT_S)
    return 0.0
