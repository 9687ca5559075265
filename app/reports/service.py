"""Read verdicts, reports and artifacts. Knows rows and the store, not HTTP or report contents."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.inspections import service as inspections
from app.models import Artifact, Inspection, Report, Status


def finished(session: Session, inspection_id: str) -> Inspection:
    """An inspection that has a verdict.

    Raises:
        NotFound: there is no such inspection.
        Conflict: it is still at work (``not_ready``) or ended without one (``no_verdict``).
    """
    row = inspections.get(session, inspection_id)
    if row.status == Status.SUCCEEDED:
        return row
    if row.finished_at is not None:
        raise Conflict(
            f"the inspection ended as {row.status} and has no verdict",
            code="no_verdict",
            extra={"inspection_status": row.status},
        )
    raise Conflict(
        "the inspection has not ended yet",
        code="not_ready",
        extra={"inspection_status": row.status, "progress": row.progress},
    )


def report_body(session: Session, inspection_id: str) -> Report:
    """The report exactly as it was written. Raises as :func:`finished`."""
    finished(session, inspection_id)
    return session.get_one(Report, inspection_id)


def artifacts(session: Session, inspection_id: str) -> list[Artifact]:
    """The files of an inspection by name; none before it has ended. Raises ``NotFound``."""
    inspections.get(session, inspection_id)
    query = select(Artifact).where(Artifact.inspection_id == inspection_id).order_by(Artifact.name)
    return list(session.scalars(query))


def artifact(session: Session, inspection_id: str, name: str) -> Artifact:
    """Raises ``NotFound``."""
    found = session.get(Artifact, (inspection_id, name))
    if found is None:
        raise NotFound(f"this inspection has no artifact {name[:100]!r}")
    return found
