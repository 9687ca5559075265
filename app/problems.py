"""Every error of the API as an RFC 9457 problem document with ``code`` and ``request_id``.

Also the middleware that gives each request its id. Knows no domain.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db.ids import new_id
from app.errors import AppError
from app.uploads.spool import no_space

logger = logging.getLogger("clipvet.api")

_SANE_ID = re.compile(r"^[A-Za-z0-9._-]{8,128}$")
_BY_STATUS = {
    400: ("bad_request", "Bad request"),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Method not allowed"),
    413: ("too_large", "Too large"),
    415: ("unsupported_media_type", "Unsupported media type"),
}


class RequestId:
    """Accept a sane ``X-Request-ID``, else make one; echo it on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _SANE_ID.match(given) else new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class BodyLimit:
    """Refuse bodies above a limit, declared or streamed, except on the raw part uploads."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "/parts/" in scope["path"]:
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > self._limit:
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
) -> JSONResponse:
    """One problem document. ``code`` is stable; ``detail`` is for people and may change."""
    body = dict(extra or {}) | {
        "type": f"urn:clipvet:problem:{code}",
        "title": title or code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "code": code,
        "request_id": getattr(request.state, "request_id", None),
    }
    return JSONResponse(body, status, media_type="application/problem+json")


def _app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    answer = problem(
        request, error.status, error.code, error.detail, title=error.title, extra=error.extra
    )
    answer.headers.update(error.headers)
    return answer


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"location": [str(part) for part in item["loc"]], "message": item["msg"]}
        for item in error.errors()
    ]
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = request.headers.get("content-length", "0") != "0"
    if has_body and not (media_type == "application/json" or media_type.endswith("+json")):
        return problem(request, 415, "unsupported_media_type", "send the body as application/json")
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


def _no_database(request: Request, error: Exception) -> Response:
    logger.error("the database failed on %s", request.url.path, exc_info=error)
    answer = problem(request, 503, "database_unavailable", "the database does not answer")
    answer.headers["Retry-After"] = "5"
    return answer


def _gone(request: Request, _error: Exception) -> Response:
    return problem(request, 400, "client_disconnected", "the connection ended early")


def _unexpected(request: Request, error: Exception) -> Response:
    logger.error("unhandled error on %s", request.url.path, exc_info=error)
    return problem(
        request, 500, "internal_error", "our fault; quote the request_id when you report it"
    )


def install(app: FastAPI, max_body_bytes: int) -> None:
    """Register handlers and middleware."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(OSError, _full_disk)
    app.add_exception_handler(OperationalError, _no_database)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(BodyLimit, limit_bytes=max_body_bytes)
    app.add_middleware(RequestId)
