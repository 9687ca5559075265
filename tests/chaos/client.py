"""A client as an honest one is written: it repeats what got no answer, under the same key, and nothing else."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from app.client import Json
from tests.chaos.record import Record

_TIMEOUT_S = 30
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 4.0
_COME_AGAIN = {408, 429, 500, 502, 503, 504, 507}


class GaveUp(Exception):
    """The service did not do it in all the time there was."""


class Patient:
    """One client; use it from one thread. ``until`` is on the monotonic clock."""

    def __init__(self, url: str, record: Record, until: float) -> None:
        self.answers: Counter[str] = Counter()
        self._url = url
        self._record = record
        self._until = until
        self._http = httpx2.Client(timeout=_TIMEOUT_S)

    def close(self) -> None:
        self._http.close()

    def ask(
        self, method: str, path: str, *, key: str | None = None, **content: Any
    ) -> httpx2.Response:
        """The first answer that is not one to come again after. Raises ``GaveUp``."""
        headers: Mapping[str, str] = {} if key is None else {"Idempotency-Key": key}
        pause_s = _FIRST_PAUSE_S
        while time.monotonic() < self._until:
            try:
                answer = self._http.request(method, self._url + path, headers=headers, **content)
            except httpx2.TransportError as error:
                self.answers[type(error).__name__] += 1
            else:
                self.answers[str(answer.status_code)] += 1
                if not _come_again(answer):
                    return answer
                if answer.status_code == 500:
                    self._record.write("answer_500", path=path, text=answer.text[:300])
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        raise GaveUp(f"{method} {path}")

    def upload(self, artifact: Path, sha256: str) -> str:
        """The id of an upload whose completion was acknowledged. Raises ``GaveUp``."""
        data = artifact.read_bytes()
        while True:
            made = self._begin(artifact.name, len(data))
            while self._send(made, data):
                done = self.ask("POST", f"/v1/uploads/{made['id']}/complete")
                if done.status_code == 200:
                    self._record.write(
                        "uploaded", id=made["id"], sha256=done.json()["sha256"], sent=sha256
                    )
                    return str(made["id"])
                self._note("complete", made["id"], done)
                if _code(done) != "parts_missing":
                    break

    def begin_and_leave(self, artifact: Path, form: str) -> None:
        """An upload that nobody will finish."""
        data = artifact.read_bytes()
        made = self._begin(artifact.name, len(data))
        self._record.write("left", id=made["id"], form=form)
        if form == "part":
            self._send(made, data)
        if form == "half":
            self._send_half(_path_of(made["parts"][0]), data)

    def _begin(self, name: str, size: int) -> Json:
        wanted = {"filename": name, "size": size}
        made = self.ask("POST", "/v1/uploads", key=uuid4().hex, json=wanted)
        if made.status_code != 201:
            raise GaveUp(f"an upload was refused: {made.text[:300]}")
        return dict(made.json())

    def _send(self, made: Json, data: bytes) -> bool:
        """Whether all parts are there; if not, only a new upload helps."""
        for part in made["parts"]:
            piece = data[part["start_offset"] : part["end_offset"]]
            answer = self.ask("PUT", _path_of(part), content=piece)
            if answer.status_code != 200:
                self._note("part", made["id"], answer)
                return False
        return True

    def _send_half(self, path: str, data: bytes) -> None:
        url = httpx2.URL(self._url)
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        try:
            with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
                connection.sendall(head.encode() + data[: len(data) // 2])
        except OSError:
            # Nobody was there to leave it with, which is as good.
            return

    def _note(self, what: str, upload: str, answer: httpx2.Response) -> None:
        self._record.write(
            "upload_refused", what=what, id=upload, status=answer.status_code, code=_code(answer)
        )


def _come_again(answer: httpx2.Response) -> bool:
    in_flight = answer.status_code == 409 and _code(answer) == "idempotency_in_flight"
    return answer.status_code in _COME_AGAIN or in_flight


def _code(answer: httpx2.Response) -> str:
    try:
        return str(answer.json().get("code"))
    except ValueError:
        return "no problem document"


def _path_of(part: Json) -> str:
    return httpx2.URL(part["upload_url"]).path
