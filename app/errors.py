"""Errors a caller of the service can act on, each with its HTTP status and stable code.

    AppError
    ├── Unauthorized             401
    ├── NotFound                 404
    ├── RequestTimeout           408
    ├── Conflict                 409   (code names the conflict)
    ├── TooLarge                 413
    ├── UnsupportedMediaType     415
    ├── Unprocessable            422   (code names the rule)
    ├── InsufficientStorage      507
    └── StoreUnavailable         503

Deliberately knows nothing of FastAPI: ``app.problems`` turns these into RFC 9457 bodies, and the
worker raises and catches the same classes. Idea: polar's ``PolarError`` (one base, one handler).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AppError(Exception):
    """Base of all errors that reach a caller as a problem document."""

    status = 500
    code = "internal_error"
    title = "Internal error"

    def __init__(
        self, detail: str, *, code: str | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.extra = dict(extra or {})
        self.headers: dict[str, str] = {}


class Unauthorized(AppError):
    status, code, title = 401, "unauthorized", "Authentication needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers = {"WWW-Authenticate": 'Bearer realm="clipvet"'}


class NotFound(AppError):
    status, code, title = 404, "not_found", "Not found"


class RequestTimeout(AppError):
    """RFC 9110 §15.5.9; the connection ends, as nobody knows where its next request would begin."""

    status, code, title = 408, "request_timeout", "The request took too long to arrive"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers = {"Connection": "close"}


class Conflict(AppError):
    status, code, title = 409, "conflict", "Conflict with the current state"


class TooLarge(AppError):
    status, code, title = 413, "too_large", "Too large"


class UnsupportedMediaType(AppError):
    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class Unprocessable(AppError):
    status, code, title = 422, "unprocessable", "Cannot be processed"


class StoreUnavailable(AppError):
    status, code, title = 503, "store_unavailable", "The object store does not answer"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": "10"}


class InsufficientStorage(AppError):
    status, code, title = 507, "insufficient_storage", "No space left on the server"
