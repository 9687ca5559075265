"""The FastAPI glue that every endpoint shares: context, authentication, idempotency.

Below this module nothing imports FastAPI; above it nobody builds a database or a store.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from app.db.session import Database
from app.errors import Unauthorized
from app.idempotency import Idempotency
from app.settings import Settings
from app.storage import Store


@dataclass(frozen=True, slots=True)
class Context:
    """What one process of the API holds."""

    settings: Settings
    database: Database
    store: Store

    def base_url(self, request: Request) -> str:
        """Start of absolute links, without a trailing slash."""
        return (self.settings.public_url or str(request.base_url)).rstrip("/")


def get_context(request: Request) -> Context:
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


ContextDep = Annotated[Context, Depends(get_context)]


def get_idempotency(
    request: Request,
    context: ContextDep,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Idempotency:
    route = f"{request.method} {request.url.path}"
    return Idempotency(context.database, idempotency_key, route, context.settings.idempotency_ttl_s)


IdempotencyDep = Annotated[Idempotency, Depends(get_idempotency)]


def require_token(
    context: ContextDep, authorization: Annotated[str | None, Header()] = None
) -> None:
    """One static token for now: enough to keep strangers out, no accounts, no scopes.

    Raises:
        Unauthorized: a token is configured and the request does not carry it.
    """
    expected = context.settings.api_token
    if expected is None:
        return
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(
        given.strip().encode(), expected.get_secret_value().encode()
    ):
        raise Unauthorized("send the header Authorization: Bearer <token>")
