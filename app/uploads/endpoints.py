"""/v1/uploads."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.dependencies import Context, ContextDep, IdempotencyDep
from app.documented import BYTES, carries, problems
from app.errors import TooLarge, Unprocessable
from app.idempotency import Answer
from app.paging import Page, PageToken, before, cut
from app.strict import StrictRoute, declared_length
from app.uploads import completing, service
from app.uploads.schemas import Sha256, UploadCreate, UploadView
from app.uploads.spool import spooled_part

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=StrictRoute)


@router.post(
    "",
    status_code=201,
    response_model=UploadView,
    responses=carries(201, "Location") | problems(507),
)
def begin_upload(body: UploadCreate, context: ContextDep, once: IdempotencyDep) -> Response:
    """Declare an artifact; the answer lists where each of its parts goes."""
    base_url = context.base_url

    def work(session: Session) -> Answer:
        new = service.NewUpload(body.filename, body.size, body.sha256)
        upload = service.begin(session, context.store, context.settings, new)
        view = UploadView.of(upload, [], base_url)
        return Answer(201, view, {"Location": f"{base_url}/v1/uploads/{upload.id}"})

    return once.answer(body, work)


@router.get("")
def find_uploads(
    sha256: Sha256,
    context: ContextDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    page_token: PageToken | None = None,
) -> Page[UploadView]:
    """Complete uploads of these bytes, newest first: ask before you send, inspect what is here."""
    before_id = before("upl", page_token)
    with context.database.read() as session:
        rows = service.stored_copies(session, sha256, before_id=before_id, limit=limit + 1)
    views = [UploadView.of(row, [], context.base_url) for row in rows]
    return cut(views, [row.id for row in rows], limit)


@router.get("/{upload_id}")
def get_upload(upload_id: str, context: ContextDep) -> UploadView:
    """The upload as it stands; use it to resume."""
    with context.database.read() as session:
        upload = service.get(session, upload_id)
        received = service.received_parts(session, upload_id)
    return UploadView.of(upload, received, context.base_url)


@router.put(
    "/{upload_id}/parts/{number}",
    response_class=Response,
    responses=carries(200, "ETag") | problems(413, 507),
    openapi_extra={
        "requestBody": {"content": {"application/octet-stream": BYTES}, "required": True}
    },
)
async def put_part(
    upload_id: str,
    number: Annotated[int, Path(ge=1, le=10_000)],
    request: Request,
    context: ContextDep,
) -> Response:
    """Send the raw bytes of one part. Sending it again replaces it."""
    expected = await run_in_threadpool(_expected, context, upload_id, number)
    _check_declared_length(request, expected.end - expected.start)
    folder, size = context.settings.spool_dir, expected.end - expected.start
    async with spooled_part(folder, number, size, request.stream()) as part:
        await run_in_threadpool(service.keep_part, context.database, context.store, upload_id, part)
    return Response(status_code=200, headers={"ETag": f'"{part.sha256}"'})


@router.post("/{upload_id}/complete", responses=problems(507))
def complete_upload(upload_id: str, context: ContextDep) -> UploadView:
    """All parts are there: join and hash them. Safe to repeat."""
    upload = completing.complete(context.database, context.store, upload_id)
    return UploadView.of(upload, [], context.base_url)


def _expected(context: Context, upload_id: str, number: int) -> service.PartRange:
    with context.database.read() as session:
        return service.expected_part(session, service.get(session, upload_id), number)


def _check_declared_length(request: Request, expected_bytes: int) -> None:
    declared = declared_length(request.headers)
    if declared is None:
        return
    if declared > expected_bytes:
        raise TooLarge(f"this part has {expected_bytes} bytes and not more")
    if declared < expected_bytes:
        raise Unprocessable(
            f"this part has {expected_bytes} bytes, {declared} are announced",
            code="part_size_mismatch",
        )
