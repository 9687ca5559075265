"""Verdict, report and artifacts of an inspection; everything known about a hash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse

from app.dependencies import Context, ContextDep
from app.documented import BYTES, carries, problems
from app.errors import Conflict, NotFound
from app.inspections import service as inspections
from app.inspections.schemas import InspectionView
from app.models import Artifact, Inspection
from app.paging import Page, PageToken, before, cut
from app.problems import is_browser
from app.reports import page, service
from app.reports.schemas import ArtifactList, ArtifactView, VerdictView
from app.storage import StoreMissing
from app.strict import StrictRoute
from app.uploads.schemas import Sha256

router = APIRouter(prefix="/v1", tags=["reports"], route_class=StrictRoute)

_CHUNK = 1 << 20
_CLOSED_POLICY = "default-src 'none'; sandbox"


@router.get("/inspections/{inspection_id}/verdict", responses=problems(409))
def get_verdict(inspection_id: str, context: ContextDep) -> VerdictView:
    """200 with the verdict, 409 ``not_ready`` until there is one."""
    with context.database.read() as session:
        return VerdictView.of(service.finished(session, inspection_id))


@router.get(
    "/inspections/{inspection_id}/report.json",
    responses=carries(200, "ETag") | problems(409),
)
def get_report_json(inspection_id: str, context: ContextDep) -> Response:
    """The report, byte for byte as the inspection wrote it."""
    with context.database.read() as session:
        report = service.report_body(session, inspection_id)
    return Response(
        report.body, media_type="application/json", headers={"ETag": f'"{report.sha256}"'}
    )


@router.get(
    "/inspections/{inspection_id}/report.html",
    response_class=HTMLResponse,
    responses=problems(409, is_page=True),
)
def get_report_html(inspection_id: str, context: ContextDep, request: Request) -> HTMLResponse:
    """The report as one page to read, save or mail.

    Where there is no report a browser is told so, and what to do, by a page with the status 409.
    """
    try:
        text = _page(context, inspection_id)
    except Conflict:
        if not is_browser(request):
            raise
        with context.database.read() as session:
            record = _record(context, inspections.get(session, inspection_id))
        told = page.HEADERS | {"Vary": "Accept", "Cache-Control": "no-store"}
        return HTMLResponse(page.render_without_report(record), 409, headers=told)
    return HTMLResponse(text, headers=page.HEADERS)


@router.get(
    "/inspections/{inspection_id}/report.pdf",
    response_class=Response,
    responses=carries(200, "Content-Disposition", content={"application/pdf": BYTES})
    | problems(409, 503, is_page=True),
)
def get_report_pdf(inspection_id: str, context: ContextDep) -> Response:
    """The same page, printed; 404 ``pdf_not_installed`` where the service has not the extra."""
    pdf = page.printed(_page(context, inspection_id))
    name = {"Content-Disposition": f'inline; filename="{inspection_id}.pdf"'}
    return Response(pdf, media_type="application/pdf", headers=name)


@router.get("/inspections/{inspection_id}/artifacts")
def list_artifacts(inspection_id: str, context: ContextDep) -> ArtifactList:
    """Trigger pictures, examples, repaired weights."""
    with context.database.read() as session:
        items = service.artifacts(session, inspection_id)
    base_url = context.base_url
    return ArtifactList(items=[ArtifactView.of(item, base_url) for item in items])


@router.get(
    "/inspections/{inspection_id}/artifacts/{name}",
    response_class=StreamingResponse,
    responses=carries(200, "ETag", "Content-Disposition", content={"*/*": BYTES}),
)
def get_artifact(inspection_id: str, name: str, context: ContextDep) -> StreamingResponse:
    """Download one file."""
    with context.database.read() as session:
        item = service.artifact(session, inspection_id, name)
    headers = {
        "Content-Length": str(item.size),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(item.name, safe='')}",
        "Content-Security-Policy": _CLOSED_POLICY,
        "ETag": f'"{item.sha256}"',
    }
    return StreamingResponse(
        _chunks(_open(context, item)), media_type=item.media_type, headers=headers
    )


@router.get("/models/{sha256}")
def get_model(
    sha256: Sha256,
    context: ContextDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    page_token: PageToken | None = None,
) -> Page[InspectionView]:
    """Every inspection of these bytes, newest first; 404 when there is none."""
    wanted = inspections.Filter(artifact_sha256=sha256)
    with context.database.read() as session:
        rows = inspections.newest_first(
            session, wanted, before_id=before("insp", page_token), limit=limit + 1
        )
    if not rows and page_token is None:
        raise NotFound("no inspection of these bytes is known")
    base_url = context.base_url
    return cut([InspectionView.of(row, base_url) for row in rows], [r.id for r in rows], limit)


def _page(context: Context, inspection_id: str) -> str:
    """Raises as :func:`app.reports.service.finished`."""
    with context.database.read() as session:
        record = _record(context, service.finished(session, inspection_id))
        report = service.report_body(session, inspection_id)
        items = service.artifacts(session, inspection_id)
    return page.render(report.body, record, items, lambda item: _kept(context, item))


def _record(context: Context, row: Inspection) -> dict[str, Any]:
    return InspectionView.of(row, context.base_url).model_dump(mode="json")


def _open(context: Context, item: Artifact) -> BinaryIO:
    try:
        return context.store.open(item.storage_key)
    except StoreMissing:
        raise NotFound("this file is no longer kept", code="artifact_gone") from None


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    finally:
        stream.close()


def _kept(context: Context, item: Artifact) -> bytes | None:
    try:
        return b"".join(_chunks(_open(context, item)))
    except NotFound:
        return None
