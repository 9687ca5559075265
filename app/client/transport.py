"""HTTP to one service: JSON in and out, problems as exceptions, patience over an outage.

Knows no route. The service's answers are not trusted with this machine: what they name is asked
for below the URL that the caller gave, redirects are not followed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2

from .errors import ApiError, Busy, Unreachable, api_error

Json = dict[str, Any]
Result = TypeVar("Result")

PATIENCE_S = 120.0
"""For a service that restarts or whose database is away, once it has answered."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_JITTER = 0.25
"""Share of a pause: clients that one outage has stopped do not come back all at once."""


class Transport:
    """One service and one token; ``close`` it when done."""

    def __init__(
        self, url: str, token: str | None, timeout_s: float, patience_s: float = PATIENCE_S
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._http = httpx2.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout_s)
        except (httpx2.InvalidURL, ValueError) as error:
            raise Unreachable(f"{url!r:.200} is no address: {error}") from error
        self._patience_s = patience_s

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def json(self, method: str, path: str, **options: Any) -> Json:
        """The object that is answered; empty where nothing is.

        Raises:
            ApiError: a problem document came.
            Unreachable: nothing came, or no JSON object.
        """
        answer = self.request(method, path, **options)
        try:
            body = answer.json() if answer.content else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise self._stranger()
        return body

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The answer to one request, made once; raises what :meth:`json` raises."""
        try:
            answer = self._http.request(method, path, **options)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._silence(error) from error
        self._check(answer)
        return answer

    @contextmanager
    def stream(self, path: str) -> Iterator[httpx2.Response]:
        """The answer to GET, its body still to be read; raises what :meth:`json` raises."""
        try:
            with self._http.stream("GET", path) as answer:
                if answer.status_code != 200:
                    answer.read()
                self._check(answer)
                yield answer
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._silence(error) from error

    def patiently(self, call: Callable[[], Result]) -> Result:
        """Repeat over an outage: a service that restarts is no reason to lose the thread."""
        ends_at: float | None = None
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return call()
            except (Unreachable, ApiError) as error:
                ends_at = ends_at or time.monotonic() + self._patience_s
                wished = getattr(error, "retry_after_s", None) or 0.0
                wait_s = max(pause_s, wished) * random.uniform(1, 1 + _JITTER)
                if not _may_pass(error) or time.monotonic() + wait_s > ends_at:
                    raise
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def url_of(self, link: str) -> str:
        """A link of an answer as one can open it here: most of them begin with a slash."""
        return self._shown.rstrip("/") + link if link.startswith("/") else link

    @property
    def _shown(self) -> str:
        """Our own URL as it may be told and kept: without a proxy's password."""
        return str(self._http.base_url.copy_with(userinfo=b""))

    def path_of(self, link: str) -> str:
        """Below our own URL: the server's idea of its name may not be reachable from here."""
        path = httpx2.URL(link).raw_path.decode()
        below = self._http.base_url.raw_path.decode().rstrip("/")
        return path.removeprefix(below) if path.startswith(f"{below}/") else path

    def _check(self, answer: httpx2.Response) -> None:
        if answer.status_code < 300:
            return
        if answer.status_code < 400:
            raise self._stranger()
        try:
            problem = answer.json()
        except ValueError:
            problem = None
        if not isinstance(problem, Mapping):
            problem = {"detail": f"HTTP {answer.status_code}: {answer.text[:200]}"}
        raise api_error(answer.status_code, problem, _seconds(answer.headers.get("retry-after")))

    def _silence(self, error: Exception) -> Unreachable:
        told = str(error) or type(error).__name__
        return Unreachable(f"{self._shown} does not answer: {told}")

    def _stranger(self) -> Unreachable:
        return Unreachable(f"{self._shown} answers, but is no clipvet service")


def _may_pass(error: Unreachable | ApiError) -> bool:
    if isinstance(error, ApiError):
        return isinstance(error, Busy) or error.code == "idempotency_in_flight"
    return True


def _seconds(told: str | None) -> float | None:
    """Of ``Retry-After``; a date is not looked at."""
    return float(told) if told is not None and told.isascii() and told.isdigit() else None
