"""The web application: wiring only. Imports nothing of torch, numpy, inspector or worker."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

from app import description, health, problems
from app.attestation.endpoints import router as attestation_router
from app.db.session import Database
from app.dependencies import Context
from app.gate import Authentication, Methods
from app.inspections.endpoints import router as inspections_router
from app.pages.endpoints import router as pages_router
from app.policies.endpoints import router as policies_router
from app.readiness import Readiness
from app.reports.endpoints import router as reports_router
from app.settings import Settings
from app.storage import open_store
from app.strict import StrictRoute
from app.uploads.endpoints import router as uploads_router
from app.webhooks.endpoints import router as webhooks_router


def make_context(settings: Settings) -> Context:
    """Database and store as the settings say; opens no connection yet."""
    return Context(
        settings=settings,
        database=Database(settings.resolved_database_url),
        store=open_store(settings),
    )


def create_app(settings: Settings | None = None) -> FastAPI:
    """One API process. The schema must be current (``clipvet migrate``; ``serve`` does it)."""
    settings = settings or Settings()
    context = make_context(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        context.database.close()

    app = FastAPI(
        title="clipvet",
        summary="Vets prompt-tuned CLIP checkpoints for backdoors.",
        lifespan=lifespan,
        redirect_slashes=False,
        # Ours instead of FastAPI's, which load their scripts from another server.
        openapi_url=None,
        # Short names, as links and generated clients use them.
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.context = context
    app.state.readiness = Readiness(context)
    problems.install(app, int(settings.max_body_bytes))
    routers = [
        health.router,
        health.metadata_router,
        uploads_router,
        inspections_router,
        reports_router,
        pages_router,
        attestation_router,
        policies_router,
        webhooks_router,
    ]
    for router in routers:
        app.include_router(router)
    if settings.docs:
        routers.append(_documentation(app, settings))
        app.include_router(routers[-1])
    # From the inside out: a request gets its id, then shows its token, then finds its method.
    app.add_middleware(Methods, routers=routers)
    app.add_middleware(Authentication, settings=settings)
    app.add_middleware(problems.RequestId)
    return app


def _documentation(app: FastAPI, settings: Settings) -> APIRouter:
    """``/openapi.json`` and ``/docs``; both are made once, as nothing in them changes."""
    router = APIRouter(route_class=StrictRoute, include_in_schema=False)

    @functools.cache
    def document() -> dict[str, Any]:
        return description.describe(
            app,
            needs_token=settings.api_token is not None,
            max_upload_bytes=int(settings.max_upload_bytes),
        )

    @functools.cache
    def page() -> str:
        return description.render(document())

    @router.get("/openapi.json")
    def openapi() -> JSONResponse:
        return JSONResponse(document())

    @router.get("/docs")
    def docs() -> HTMLResponse:
        return HTMLResponse(page(), headers=description.HEADERS)

    return router
