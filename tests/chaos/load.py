"""Carries out a plan with a few clients at a time and writes down every acknowledgement."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from tests.chaos.client import GaveUp, Patient
from tests.chaos.record import Record
from tests.chaos.wishes import Plan, Stray, Wish

_CLIENTS = 4
_OWN_UPLOAD = 0.4
"""Share of inspections for which the bytes are sent again, though they are there already."""


class Load:
    """``start``, then ``join``; ``url`` is the API, ``hooks`` the sink, ``patience_s`` from the last wish on."""

    def __init__(self, plan: Plan, url: str, hooks: str, record: Record, patience_s: float) -> None:
        self.answers: Counter[str] = Counter()
        last = max((wish.at_s for wish in plan.wishes), default=0.0)
        self._begun = time.monotonic()
        self._until = self._begun + last + patience_s
        self._url, self._hooks, self._record = url, hooks, record
        self._todo: list[Wish | Stray] = sorted(
            [*plan.wishes, *plan.strays], key=lambda one: -one.at_s
        )
        self._cancels: list[tuple[float, str]] = []
        self._uploads: dict[Path, str] = {}
        self._guard = threading.Lock()
        self._threads = [
            threading.Thread(target=self._serve, name=f"client{n}", daemon=True)
            for n in range(_CLIENTS)
        ]
        self._canceler = threading.Thread(target=self._cancel, name="canceler", daemon=True)
        self._is_over = threading.Event()

    def start(self) -> None:
        for thread in (*self._threads, self._canceler):
            thread.start()

    def join(self) -> None:
        """Returns when everything was acknowledged, or patience is at its end."""
        for thread in self._threads:
            thread.join()
        self._is_over.set()
        self._canceler.join()

    def _client(self) -> Patient:
        return Patient(self._url, self._record, self._until)

    def _serve(self) -> None:
        client = self._client()
        while True:
            with self._guard:
                if not self._todo:
                    break
                task = self._todo.pop()
            time.sleep(max(0.0, self._begun + task.at_s - time.monotonic()))
            try:
                if isinstance(task, Stray):
                    client.begin_and_leave(task.artifact, task.form)
                else:
                    self._fulfil(client, task)
            except GaveUp as reason:
                self._record.write("gave_up", task=repr(task)[:200], reason=str(reason))
        self._finish(client)

    def _fulfil(self, client: Patient, wish: Wish) -> None:
        body, key = self._body_of(client, wish), uuid4().hex
        ids = []
        for _ in range(1 + wish.repeats):
            answer = client.ask("POST", "/v1/inspections", key=key, json=body)
            if answer.status_code != 202:
                self._record.write(
                    "refused", wish=wish.number, status=answer.status_code, text=answer.text[:500]
                )
                return
            ids.append(str(answer.json()["id"]))
            if len(ids) == 1:
                self._accepted(wish, ids[0])
        self._record.write("repeated", wish=wish.number, ids=ids)

    def _accepted(self, wish: Wish, identifier: str) -> None:
        self._record.write(
            "accepted",
            wish=wish.number,
            id=identifier,
            expected=wish.expected,
            target=wish.target,
            has_own_hook=wish.has_own_hook,
            is_real="stand_in" not in wish.wanted["manifest"],
            may_cancel=wish.cancel_after_s is not None,
            orders=json.dumps(wish.wanted["manifest"].get("stand_in")),
        )
        if wish.cancel_after_s is not None:
            with self._guard:
                self._cancels.append((time.monotonic() + wish.cancel_after_s, identifier))

    def _body_of(self, client: Patient, wish: Wish) -> dict[str, Any]:
        body = {
            "upload_id": self._upload_of(client, wish),
            "backbone": "pocket",
            "labels": {"wish": str(wish.number)},
        }
        if wish.has_own_hook:
            body["webhook"] = {"url": f"{self._hooks}/own/{wish.number}", "events": []}
        return body | wish.wanted

    def _upload_of(self, client: Patient, wish: Wish) -> str:
        anew = Random(wish.number).random() < _OWN_UPLOAD
        known = self._uploads.get(wish.artifact)
        if known is not None and not anew:
            return known
        digest = hashlib.sha256(wish.artifact.read_bytes()).hexdigest()
        self._uploads[wish.artifact] = client.upload(wish.artifact, digest)
        return self._uploads[wish.artifact]

    def _cancel(self) -> None:
        client = self._client()
        while True:
            with self._guard:
                now = time.monotonic()
                due = [one for one in self._cancels if one[0] <= now or self._is_over.is_set()]
                self._cancels = [one for one in self._cancels if one not in due]
            for _, identifier in due:
                try:
                    client.ask("POST", f"/v1/inspections/{identifier}/cancel")
                except GaveUp as reason:
                    self._record.write("gave_up", task="cancel", reason=str(reason))
            if self._is_over.wait(0.2) and not self._cancels:
                break
        self._finish(client)

    def _finish(self, client: Patient) -> None:
        client.close()
        with self._guard:
            self.answers += client.answers
