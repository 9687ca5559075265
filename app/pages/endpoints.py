"""The page of an inspection: HTML, PDF; and what a person reads where there is none."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from app.dependencies import Context, ContextDep
from app.documented import BYTES, carries, problems
from app.errors import Conflict
from app.inspections import service as inspections
from app.inspections.schemas import InspectionView
from app.models import Inspection
from app.policies.document import Name
from app.policies.evaluating import under_kept
from app.policies.schemas import Number
from app.problems import is_browser
from app.reports import files, page, service
from app.strict import StrictRoute

router = APIRouter(prefix="/v1", tags=["reports"], route_class=StrictRoute)

PolicyName = Annotated[
    Name | None, Query(description="Show what this policy, which the service keeps, makes of it.")
]
PolicyVersion = Annotated[Number | None, Query(description="Of the policy; left out: the newest.")]


@router.get(
    "/inspections/{inspection_id}/report.html",
    response_class=HTMLResponse,
    responses=problems(409, is_page=True),
)
def get_report_html(
    inspection_id: str,
    context: ContextDep,
    request: Request,
    policy: PolicyName = None,
    version: PolicyVersion = None,
) -> HTMLResponse:
    """The report as one page to read, save or mail.

    Where there is no report a browser is told so, and what to do, by a page with the status 409.
    """
    try:
        text = _page(context, inspection_id, policy, version)
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
def get_report_pdf(
    inspection_id: str,
    context: ContextDep,
    policy: PolicyName = None,
    version: PolicyVersion = None,
) -> Response:
    """The same page, printed; 404 ``pdf_not_installed`` where the service has not the extra."""
    pdf = page.printed(_page(context, inspection_id, policy, version))
    name = {"Content-Disposition": f'inline; filename="{inspection_id}.pdf"'}
    return Response(pdf, media_type="application/pdf", headers=name)


def _page(context: Context, inspection_id: str, policy: str | None, version: int | None) -> str:
    """Raises as :func:`app.reports.service.finished`, and ``NotFound`` for no such policy."""
    with context.database.read() as session:
        record = _record(context, service.finished(session, inspection_id))
        if policy is not None:
            record |= _judged(session, inspection_id, policy, version)
        report = service.report_body(session, inspection_id)
        items = service.artifacts(session, inspection_id)
    return page.render(report.body, record, items, lambda item: files.kept(context.store, item))


def _record(context: Context, row: Inspection) -> dict[str, Any]:
    return InspectionView.of(row, context.base_url).model_dump(mode="json")


def _judged(
    session: Session, inspection_id: str, policy: str, version: int | None
) -> dict[str, Any]:
    told = under_kept(session, inspection_id, policy, version).model_dump(mode="json")
    return {
        "policy": told["policy"],
        "policy_result": told["result"],
        "evaluated_at": told["evaluated_at"],
        "rules": told["rules"],
    }
