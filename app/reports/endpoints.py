"""Verdict, report and artifacts of an inspection; everything known about a hash."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from app.dependencies import ContextDep
from app.documented import BYTES, carries, problems
from app.errors import NotFound
from app.inspections import service as inspections
from app.inspections.schemas import InspectionView
from app.paging import Page, PageToken, before, cut
from app.reports import files, service
from app.reports.schemas import ArtifactList, ArtifactView, VerdictView
from app.strict import StrictRoute
from app.uploads.schemas import Sha256

router = APIRouter(prefix="/v1", tags=["reports"], route_class=StrictRoute)

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
        files.chunks(files.opened(context.store, item)), media_type=item.media_type, headers=headers
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
