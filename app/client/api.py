"""A thin synchronous client: one method per thing one does with the service.

Reads files, speaks HTTP, returns the service's JSON as it is. Knows no screen and no exit code.
A broken upload is resumed: only parts that the server does not have are sent.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx2

_CHUNK = 1 << 18
_TERMINAL = {"succeeded", "failed", "canceled", "expired"}
_PATIENCE_S = 120.0
"""For a service that restarts or whose database is away, once it has answered."""
_LONGEST_PAUSE_S = 8.0
_TRY_LATER = (502, 503, 504)
_SEND_AGAIN = ("parts_missing", "parts_lost", "upload_changed")
"""What a store that lost parts is answered with."""
_SENDINGS = 4
_COMPLETE_S = 1800.0
"""A slow store joins and reads back some gigabytes meanwhile."""

Json = dict[str, Any]
_Result = TypeVar("_Result")


class Unreachable(Exception):
    """The service does not answer, or something else does."""


class ApiError(Exception):
    """The service answered with a problem document."""

    def __init__(self, status: int, problem: Json) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", "http_error"))
        text = str(problem.get("detail") or f"HTTP {status}")
        if fields := problem.get("errors"):
            text += ": " + "; ".join(
                f"{'.'.join(item['location'])}: {item['message']}" for item in fields
            )
        super().__init__(f"{text} ({self.code}, request {problem.get('request_id')})")


class Client:
    """Use as a context manager."""

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 90) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Json:
        """Raises ``ApiError`` or ``Unreachable``, as do all methods."""
        return self._json("GET", path, params=params)

    def post(
        self,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Json:
        """The JSON of the answer to ``body``, sent as JSON; raises what :meth:`get` raises."""
        limit = {} if timeout_s is None else {"timeout": timeout_s}
        return self._json("POST", path, json=body, headers=headers, **limit)

    def upload(self, path: Path, progress: Callable[[int], None] = lambda _sent: None) -> Json:
        """Send a file and wait for its hash; the completed upload. ``progress`` gets bytes sent."""
        declared = {
            "filename": path.name,
            "size": path.stat().st_size,
            "sha256": _sha256(path),
        }
        upload = self.post("/v1/uploads", declared, {"Idempotency-Key": uuid4().hex})
        here = f"/v1/uploads/{upload['id']}"
        for left in reversed(range(_SENDINGS)):
            try:
                self._send_missing(path, upload["parts"], progress)
                return self._patiently(lambda: self.post(f"{here}/complete", timeout_s=_COMPLETE_S))
            except ApiError as error:
                if error.code not in _SEND_AGAIN or not left:
                    raise
            upload = self._patiently(lambda: self.get(here))
        raise AssertionError

    def create_inspection(self, body: Json) -> Json:
        """Queue an inspection, once however often the answer is lost."""
        key = {"Idempotency-Key": uuid4().hex}
        return self._patiently(lambda: self.post("/v1/inspections", body, key))

    def watch(self, inspection_id: str, timeout_s: float | None = None) -> Iterator[Json]:
        """The inspection again and again, at most a second apart, until it has ended.

        Raises:
            TimeoutError: it has not ended after ``timeout_s``.
        """
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            row = self._patiently(lambda: self.get(f"/v1/inspections/{inspection_id}", wait=1))
            yield row
            if row["status"] in _TERMINAL:
                return
            if ends_at is not None and time.monotonic() >= ends_at:
                raise TimeoutError(f"{inspection_id} is {row['status']} after {timeout_s:.0f} s")

    def download(self, path: str, target: Path) -> None:
        """Save an artifact or a page."""
        try:
            with self._http.stream("GET", path) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise _error_of(answer)
                with target.open("wb") as out:
                    for chunk in answer.iter_bytes():
                        out.write(chunk)
        except httpx2.TransportError as error:
            raise Unreachable(str(error)) from error

    def url_of(self, link: str) -> str:
        """A link of an answer as one can open it here: most of them begin with a slash."""
        return f"{self._http.base_url}".rstrip("/") + link if link.startswith("/") else link

    def _path_of(self, link: str) -> str:
        """Below our own URL: the server's idea of its name may not be reachable from here."""
        path = httpx2.URL(link).raw_path.decode()
        below = self._http.base_url.raw_path.decode().rstrip("/")
        return path.removeprefix(below) if path.startswith(f"{below}/") else path

    def _send_missing(self, path: Path, parts: list[Json], progress: Callable[[int], None]) -> None:
        for part in parts:
            if not part["received"]:
                self._send_part(path, part)
            progress(part["end_offset"])

    def _send_part(self, path: Path, part: Json) -> None:
        start, end = part["start_offset"], part["end_offset"]
        headers = {
            "Content-Length": str(end - start),
            "Content-Type": "application/octet-stream",
        }
        where = self._path_of(part["upload_url"])
        self._patiently(
            lambda: self._request("PUT", where, content=_slice(path, start, end), headers=headers)
        )

    def _patiently(self, call: Callable[[], _Result]) -> _Result:
        """Repeat over an outage: a service that restarts is no reason to lose the thread."""
        ends_at: float | None = None
        pause_s = 0.5
        while True:
            try:
                return call()
            except (Unreachable, ApiError) as error:
                ends_at = ends_at or time.monotonic() + _PATIENCE_S
                if not _may_pass(error) or time.monotonic() + pause_s > ends_at:
                    raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _json(self, method: str, path: str, **options: Any) -> Json:
        answer = self._request(method, path, **options)
        try:
            body = answer.json() if answer.content else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Unreachable(f"{self._http.base_url} answers, but is no clipvet service")
        return body

    def _request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            raise Unreachable(
                f"{self._http.base_url} does not answer: {error or type(error).__name__}"
            ) from error
        if answer.status_code >= 400:
            raise _error_of(answer)
        return answer


def _may_pass(error: Unreachable | ApiError) -> bool:
    if isinstance(error, Unreachable):
        return True
    return error.status in _TRY_LATER or error.code == "idempotency_in_flight"


def _error_of(answer: httpx2.Response) -> ApiError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {"detail": answer.text[:200]}
    return ApiError(answer.status_code, problem if isinstance(problem, dict) else {})


def _slice(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(start)
        left = end - start
        while left and (chunk := stream.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
