"""The FastAPI glue that every endpoint shares: context and idempotency.

Below this module nothing imports FastAPI; above it nobody builds a database or a store.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Request

from app.db.session import Database
from app.idempotency import Idempotency
from app.settings import Settings
from app.storage import Store


@dataclass(frozen=True, slots=True)
class Context:
    """What one process of the API holds."""

    settings: Settings
    database: Database
    store: Store
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the process is to end: whoever waits for something answers with what there is."""

    @property
    def base_url(self) -> str:
        """Start of links, without a trailing slash; empty where no public URL is known."""
        return self.settings.public_url or ""


def get_context(request: Request) -> Context:
    """The context that ``app.main`` left on the application."""
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


ContextDep = Annotated[Context, Depends(get_context)]


def get_idempotency(
    request: Request,
    context: ContextDep,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, pattern=r"^[ -~]+$")
    ] = None,
) -> Idempotency:
    """The request's ``Idempotency-Key``, which counts for one method and path only."""
    route = f"{request.method} {request.url.path}"
    return Idempotency(context.database, idempotency_key, route, context.settings.idempotency_ttl_s)


IdempotencyDep = Annotated[Idempotency, Depends(get_idempotency)]
