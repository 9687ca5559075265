"""What is decided about a request before anything of its body is read: who asks, and for what.

Two ASGI layers. :class:`Authentication` keeps strangers out of everything but what is named open;
:class:`Methods` answers 404 and 405 by the table of routes, and HEAD where GET is answered.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unauthorized
from app.problems import answer_of, problem
from app.settings import Settings
from app.strict import CONTROL

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json", "/v1/signing_keys"})
"""Answered without a token: probes carry none, and neither what the API looks like nor a public key
is a secret."""


class Authentication:
    """One static token for now: enough to keep strangers out, no accounts, no scopes.

    Outermost, so that a stranger's body is neither read nor parsed and no route is told.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        token = settings.api_token
        self._token = None if token is None else token.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is open or bears the token; answer 401 to the rest."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        refused = Unauthorized("send the header Authorization: Bearer <token>")
        await answer_of(Request(scope), refused)(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        if self._token is None:
            return True
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode(), self._token
        )


class Methods:
    """404 for paths that no route can have, 405 with every method of a path, HEAD as GET."""

    def __init__(self, app: ASGIApp, routers: Iterable[APIRouter]) -> None:
        self._app = app
        self._table = [
            (compile_path(route.path)[0], frozenset(route.methods or ()))
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what a route can answer; answer 404 and 405 to the rest."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        allowed = self._allowed(path)
        if CONTROL.search(path):
            refused = problem(Request(scope), 404, "not_found", "no path holds control characters")
            await refused(scope, receive, send)
        elif allowed and method not in allowed:
            await _not_allowed(scope, allowed)(scope, receive, send)
        elif method == "HEAD":
            await self._head(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _allowed(self, path: str) -> set[str]:
        allowed: set[str] = set()
        for pattern, methods in self._table:
            if pattern.match(path):
                allowed |= methods
        return allowed | {"HEAD"} if "GET" in allowed else allowed

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_ended = False

        async def send_head(message: Message) -> None:
            nonlocal has_ended
            if message["type"] != "http.response.body":
                await send(message)
            elif not has_ended:
                has_ended = True
                await send({"type": "http.response.body", "body": b""})
            else:
                # As from a client that has gone: whoever streams a file
                # stops after its first block.
                raise OSError("the answer to HEAD has no body")

        try:
            await self._app({**scope, "method": "GET"}, receive, send_head)
        except Exception:
            if not has_ended:
                raise


def _not_allowed(scope: Scope, allowed: set[str]) -> Response:
    listed = ", ".join(sorted(allowed))
    answer = problem(
        Request(scope), 405, "method_not_allowed", f"here are {listed}", title="Method not allowed"
    )
    answer.headers["Allow"] = listed
    return answer
