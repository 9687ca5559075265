"""What can go wrong between a caller and the service, as types that one can catch.

ClipvetError
├── Unreachable        nothing answers, or something that is no clipvet service
├── WrongDigest        what arrived has other bytes than the service said
└── ApiError           the service answered with a problem document (RFC 9457)
    ├── Unauthorized   401
    ├── NotFound       404
    ├── Conflict       409
    ├── Refused        413, 415, 422: the request itself is wrong
    ├── Busy           408, 429, 502, 503, 504: the same request may pass later
    └── ServiceFault   any other 5xx: a fault of the service

Knows neither routes nor how a request is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ClipvetError(Exception):
    """Base of all that this package raises about the service."""


class Unreachable(ClipvetError):
    """The service does not answer, or something else does."""


class WrongDigest(ClipvetError):
    """A download has another sha256 than the service named; nothing was kept."""


class ApiError(ClipvetError):
    """The service answered with a problem document.

    Attributes:
        status: of HTTP.
        code: stable; what to decide by.
        problem: the whole document.
        retry_after_s: how long the service asks to wait, where it does.
    """

    def __init__(
        self, status: int, problem: Mapping[str, Any], retry_after_s: float | None = None
    ) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code", "http_error"))
        self.retry_after_s = retry_after_s
        super().__init__(f"{self._text()} ({self.code}, request {problem.get('request_id')})")

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Where in the request something is wrong, and what; empty for other problems."""
        listed = self.problem.get("errors")
        return [
            (".".join(map(str, item.get("location", ()))), str(item.get("message", "")))
            for item in (listed if isinstance(listed, list) else ())
            if isinstance(item, dict)
        ]

    def _text(self) -> str:
        told = str(self.problem.get("detail") or f"HTTP {self.status}")
        if self.fields:
            told += ": " + "; ".join(f"{place}: {message}" for place, message in self.fields)
        return told


class Unauthorized(ApiError):
    """The token is missing or wrong."""


class NotFound(ApiError):
    """Nothing has this id."""


class Conflict(ApiError):
    """What is there forbids it; ``code`` names the conflict."""


class Refused(ApiError):
    """The request is wrong; ``fields`` says where."""


class Busy(ApiError):
    """Not now; the same request may pass later."""


class ServiceFault(ApiError):
    """A fault of the service."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    413: Refused,
    415: Refused,
    422: Refused,
    408: Busy,
    429: Busy,
    502: Busy,
    503: Busy,
    504: Busy,
}


def api_error(
    status: int, problem: Mapping[str, Any], retry_after_s: float | None = None
) -> ApiError:
    """The problem document as the type that its status stands for."""
    fallback = ServiceFault if status >= 500 else ApiError
    return _BY_STATUS.get(status, fallback)(status, problem, retry_after_s)
