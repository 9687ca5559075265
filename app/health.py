"""/healthz (this process), /readyz (what it needs), /v1/metadata (what it can do).

Broker trouble never makes a process unhealthy: rows are the truth and are polled anyway.
"""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_args

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from app.db import clock
from app.db.migrate import is_current
from app.dependencies import Context, ContextDep
from app.errors import StoreUnavailable
from app.inspections.policy import Profile, Verdict
from app.models import WorkerBeat
from app.strict import StrictRoute
from inspector.names import BUILT_IN

router = APIRouter(tags=["service"], route_class=StrictRoute)
metadata_router = APIRouter(prefix="/v1", tags=["service"], route_class=StrictRoute)

_ALIVE = timedelta(seconds=60)


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    responses={503: {"description": "What is missing", "content": {"application/json": {}}}},
)
def readyz(context: ContextDep) -> JSONResponse:
    """200 when database, schema and store work; a missing worker is told, not fatal."""
    checks = {"database": _database(context), "store": _store(context)}
    ready = all(state == "ok" for state in checks.values())
    body: dict[str, Any] = {"status": "ok" if ready else "unavailable", "checks": checks}
    if checks["database"] == "ok":
        body["workers_alive"] = _workers(context)
    return JSONResponse(body, 200 if ready else 503)


@metadata_router.get("/metadata")
def metadata(context: ContextDep) -> dict[str, Any]:
    """Engine, accepted formats, profiles, limits."""
    return {
        "engine": "clipvet",
        "version": _version(),
        "formats": ["torch-zip", "torch-legacy", "safetensors", "pickle"],
        "profiles": get_args(Profile),
        "verdicts": get_args(Verdict),
        "registered_backbones": sorted({*BUILT_IN, *context.settings.backbones}),
        "limits": {
            "max_upload_bytes": int(context.settings.max_upload_bytes),
            "max_body_bytes": int(context.settings.max_body_bytes),
        },
    }


def _database(context: Context) -> str:
    try:
        return "ok" if is_current(context.database) else "schema is not current"
    except SQLAlchemyError:
        return "unavailable"


def _store(context: Context) -> str:
    try:
        context.store.check()
    except StoreUnavailable:
        return "unavailable"
    return "ok"


def _workers(context: Context) -> int:
    with context.database.read() as session:
        query = select(func.count()).where(WorkerBeat.last_seen_at > clock.now(session) - _ALIVE)
        return session.scalar(query) or 0


def _version() -> str:
    try:
        return version("clipvet")
    except PackageNotFoundError:
        return "0"
