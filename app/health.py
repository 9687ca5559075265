"""/healthz (this process), /readyz (what it needs), /v1/metadata (what it can do).

Broker trouble never makes a process unhealthy: rows are the truth and are polled anyway.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_args

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app.dependencies import ContextDep
from app.inspections.policy import Profile, Verdict
from app.readiness import OK, Readiness
from app.strict import StrictRoute
from inspector.names import BUILT_IN

router = APIRouter(tags=["service"], route_class=StrictRoute)
metadata_router = APIRouter(prefix="/v1", tags=["service"], route_class=StrictRoute)


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    responses={503: {"description": "What is missing", "content": {"application/json": {}}}},
)
async def readyz(request: Request) -> JSONResponse:
    """200 when database, schema, store and disks work; a missing worker is told, not fatal."""
    readiness = request.app.state.readiness
    assert isinstance(readiness, Readiness)
    checks = await readiness.checks()
    ready = all(state == OK for state in checks.values())
    body: dict[str, Any] = {"status": "ok" if ready else "unavailable", "checks": checks}
    if checks["database"] == OK:
        body["workers_alive"] = readiness.workers_alive
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


def _version() -> str:
    try:
        return version("clipvet")
    except PackageNotFoundError:
        return "0"
