"""Every error of the API as an RFC 9457 problem document with ``code`` and ``request_id``.

Also the middleware that gives each request its id. Knows no domain.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, IntegrityError, StatementError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import trouble
from app.db.ids import new_id
from app.db.session import AWAY
from app.documented import PROBLEM
from app.errors import AppError
from app.strict import declared_length, shown
from app.uploads.spool import no_space

logger = logging.getLogger("clipvet.api")

_SANE_ID = re.compile(r"^[A-Za-z0-9._-]{8,128}$")
_MOST_ERRORS = 100
"""Told of one request; a list of 50,000 wrong names has as many."""
_BY_STATUS = {
    400: ("bad_request", "Bad request"),
    404: ("not_found", "Not found"),
    413: ("too_large", "Too large"),
    415: ("unsupported_media_type", "Unsupported media type"),
}


class RequestId:
    """Accept a sane ``X-Request-ID``, else make one; echo it on every answer.

    Every answer also says ``nosniff``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its id; answer 503 where the server ends meanwhile."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _SANE_ID.match(given) else new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id

        has_begun = False

        async def send_with_id(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] == "http.response.start":
                _mark(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # The server ends and waits no longer; whoever asked is told that, and not of a fault.
            if not has_begun:
                await _ending(scope)(scope, receive, send_with_id)
            raise


def _ending(scope: Scope) -> Response:
    answer = problem(
        Request(scope), 503, "shutting_down", "the service is ending; repeat the request"
    )
    answer.headers["Retry-After"] = "5"
    return answer


def _mark(headers: MutableHeaders, request_id: str) -> None:
    headers["X-Request-ID"] = request_id
    headers["X-Content-Type-Options"] = "nosniff"


class BodyLimit:
    """Refuse bodies above a limit, declared or streamed, except on the raw part uploads."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its body; answer 413 once that is too long."""
        if scope["type"] != "http" or "/parts/" in scope["path"]:
            await self._app(scope, receive, send)
            return
        declared = declared_length(Headers(scope=scope))
        if declared is not None and declared > self._limit:
            await self._refuse(scope)(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise HTTPException(413, f"the body is larger than {self._limit} bytes")
            return message

        await self._app(scope, counted, send)

    def _refuse(self, scope: Scope) -> Response:
        return problem(Request(scope), 413, "too_large", f"at most {self._limit} bytes")


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    title: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """One problem document. ``code`` is stable; ``detail`` is for people and may change.

    A browser that opened a page is told the same as a page.
    """
    body = dict(extra or {}) | {
        "type": f"urn:clipvet:problem:{code}",
        "title": title or code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": quote(request.scope["path"])[:500],
        "code": code,
        "request_id": getattr(request.state, "request_id", None),
    }
    if not is_page(request.scope["path"]):
        return JSONResponse(body, status, media_type=PROBLEM)
    headers = {"Vary": "Accept"}
    if is_browser(request):
        return HTMLResponse(trouble.render(body), status, headers | trouble.HEADERS)
    return JSONResponse(body, status, headers, media_type=PROBLEM)


def is_page(path: str) -> bool:
    """Whether people open it, and not programs alone."""
    return path.endswith((".html", ".pdf"))


def is_browser(request: Request) -> bool:
    """Whether whoever asks says that they read HTML; a program that takes anything does not."""
    asked = request.headers.get("accept", "").lower()
    return any(one.partition(";")[0].strip() == "text/html" for one in asked.split(","))


def answer_of(request: Request, error: AppError) -> Response:
    """The problem document of one of our errors, with its headers."""
    answer = problem(
        request, error.status, error.code, error.detail, title=error.title, extra=error.extra
    )
    answer.headers.update(error.headers)
    return answer


def _app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    return answer_of(request, error)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"location": [shown(part) for part in item["loc"]], "message": item["msg"]}
        for item in error.errors()[:_MOST_ERRORS]
    ]
    return problem(
        request,
        422,
        "invalid_request",
        "the request does not match the schema",
        extra={"errors": errors},
    )


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, title = _BY_STATUS.get(error.status_code, ("http_error", "Request failed"))
    answer = problem(request, error.status_code, code, str(error.detail), title=title)
    answer.headers.update(error.headers or {})
    return answer


def _full_disk(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    known = no_space(error)
    if known is None:
        return _unexpected(request, error)
    return _app_error(request, known)


def _unstorable(request: Request, error: Exception) -> Response:
    # The last net: routes refuse such values by name, so each one here is worth a look.
    logger.warning("the database refused a value on %s", request.scope["path"], exc_info=error)
    return problem(
        request, 422, "unstorable_value", "the request holds a value that cannot be kept"
    )


def _statement_error(request: Request, error: Exception) -> Response:
    # SQLAlchemy's name for what a value did before any database saw it; anything else is our fault.
    assert isinstance(error, StatementError)
    if isinstance(error.orig, ValueError | OverflowError):
        return _unstorable(request, error)
    return _unexpected(request, error)


def _overtaken(request: Request, error: Exception) -> Response:
    logger.warning("two requests collided on %s", request.scope["path"], exc_info=error)
    return problem(request, 409, "conflict", "another request was faster; look, then try again")


def _no_database(request: Request, error: Exception) -> Response:
    logger.error("the database failed on %s", request.scope["path"], exc_info=error)
    answer = problem(request, 503, "database_unavailable", "the database does not answer")
    answer.headers["Retry-After"] = "5"
    return answer


def _gone(request: Request, _error: Exception) -> Response:
    return problem(request, 400, "client_disconnected", "the connection ended early")


def _unexpected(request: Request, error: Exception) -> Response:
    logger.error("unhandled error on %s", request.scope["path"], exc_info=error)
    answer = problem(
        request, 500, "internal_error", "our fault; quote the request_id when you report it"
    )
    # Starlette sends this one from outside of all layers, RequestId's too.
    _mark(answer.headers, getattr(request.state, "request_id", ""))
    return answer


def install(app: FastAPI, max_body_bytes: int) -> None:
    """Register handlers and the limit on bodies.

    ``RequestId`` is for the caller, outside of all.
    """
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(OSError, _full_disk)
    app.add_exception_handler(DataError, _unstorable)
    app.add_exception_handler(StatementError, _statement_error)
    app.add_exception_handler(IntegrityError, _overtaken)
    for away in AWAY:
        app.add_exception_handler(away, _no_database)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(BodyLimit, limit_bytes=max_body_bytes)
