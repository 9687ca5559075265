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
    ├── Busy                     503
    ├── SigningUnavailable       503
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
    """The bearer token is missing or wrong (RFC 9110 §15.5.2, RFC 6750 §3)."""

    status, code, title = 401, "unauthorized", "Authentication needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers = {"WWW-Authenticate": 'Bearer realm="clipvet"'}


class NotFound(AppError):
    """Nothing that the caller may see has this id."""

    status, code, title = 404, "not_found", "Not found"


class RequestTimeout(AppError):
    """RFC 9110 §15.5.9; the connection ends, as nobody knows where its next request would begin."""

    status, code, title = 408, "request_timeout", "The request took too long to arrive"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers = {"Connection": "close"}


class Conflict(AppError):
    """The resource's state forbids it; ``code`` names the conflict."""

    status, code, title = 409, "conflict", "Conflict with the current state"


class TooLarge(AppError):
    """A body, a part or an upload is above its limit."""

    status, code, title = 413, "too_large", "Too large"


class UnsupportedMediaType(AppError):
    """The body is of a media type that the route does not read."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class Unprocessable(AppError):
    """The request is well-formed and says what cannot be done."""

    status, code, title = 422, "unprocessable", "Cannot be processed"


class StoreUnavailable(AppError):
    """The object store is away or broken; ``Retry-After`` asks for another try in 10 s."""

    status, code, title = 503, "store_unavailable", "The object store does not answer"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": "10"}


class Busy(AppError):
    """Others are being served; ``Retry-After`` asks for another try in 10 s."""

    status, code, title = 503, "busy", "Others are being served"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.headers = {"Retry-After": "10"}


class SigningUnavailable(AppError):
    """The signing keys cannot be used; ``Retry-After`` asks for another try in a minute."""

    status, code, title = 503, "signing_unavailable", "Verdicts cannot be signed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": "60"}


class InsufficientStorage(AppError):
    """The server's disk has no space for what was sent (RFC 4918 §11.5)."""

    status, code, title = 507, "insufficient_storage", "No space left on the server"
