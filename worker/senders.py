"""Sends what is due: many attempts at a time, in turns among the receivers.

Receivers that nobody knows yet, or that answer late or not at all, get one attempt at a time, and
together they never hold all senders; those that answered the last one promptly get a few at a time.
So neither a crowd of dead addresses nor one that accepts and stays silent holds up anybody else.
One thread takes rows and records ends, so that a burst is no burst on the database; each attempt
runs in a thread of its own, which mostly waits.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from app.db.session import AWAY, Database
from app.settings import Settings
from app.webhooks import service
from worker.delivery import attempt

logger = logging.getLogger("clipvet.webhooks")

_LEASE_MARGIN_S = 120
"""What a lease outlasts an attempt by: an outage of the database before the end is recorded, and
clocks that differ."""
_PROMPT_S = 2.0
_PROMPT_AT_A_TIME = 4
_SHARE_OF_OTHERS = 0.75
"""Of the senders: what all receivers hold together that are not known to be prompt."""
_REMEMBERED = 10_000
_LAST_MOMENT_S = 1.0
"""From an attempt's deadline until its thread has said so."""


@dataclass(frozen=True)
class _Running:
    receiver: str
    begun: float


@dataclass(frozen=True)
class _Ended:
    due: service.DueDelivery
    result: service.AttemptResult
    seconds: float


class _Turns:
    """Who was served when, and who answers promptly; of the latest receivers only."""

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._count = 0
        self._prompt: set[str] = set()

    def ordered(self, lines: list[service.Waiting]) -> deque[service.Waiting]:
        """Receivers never served first, then those whose turn is longest ago, likewise endpoints.

        Of those never served every other one is the newest, as a backlog may be all dead addresses.
        """
        lines = sorted(lines, key=self._key)
        fresh = deque(line for line in lines if receiver_of(line.url) not in self._served)
        turns: deque[service.Waiting] = deque()
        while fresh:
            turns.append(fresh.popleft())
            if fresh:
                turns.append(fresh.pop())
        turns.extend(line for line in lines if receiver_of(line.url) in self._served)
        return turns

    def _key(self, line: service.Waiting) -> tuple[int, int, datetime]:
        of_receiver = self._served.get(receiver_of(line.url), 0)
        return of_receiver, self._served.get(line.endpoint_id, 0), line.due_at

    def serve(self, *names: str) -> None:
        self._count += 1
        for name in names:
            self._served.pop(name, None)
            self._served[name] = self._count
        while len(self._served) > _REMEMBERED:
            oldest = next(iter(self._served))
            del self._served[oldest]
            self._prompt.discard(oldest)

    def note(self, receiver: str, *, is_prompt: bool) -> None:
        if is_prompt and receiver in self._served:
            self._prompt.add(receiver)
        else:
            self._prompt.discard(receiver)

    def is_prompt(self, receiver: str) -> bool:
        return receiver in self._prompt


@functools.lru_cache(_REMEMBERED)
def receiver_of(url: str) -> str:
    """Endpoints of one receiver share their turns: each inspection may bring its own."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}"


class Senders:
    """The attempts of one worker. All methods belong to one thread at a time."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._turns = _Turns()
        self._running: dict[service.DueDelivery, _Running] = {}
        self._busy: Counter[str] = Counter()
        self._ended: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
        self._unrecorded: deque[_Ended] = deque()

    def send_due(self, shutdown: threading.Event) -> None:
        """Send everything that is due and what becomes due meanwhile; return when nothing is left.

        Raises:
            SQLAlchemyError: the database does not answer; attempts go on and are
                recorded by the next call.
        """
        while not shutdown.is_set():
            self._record_ended()
            self._start_due()
            if not self._running:
                return
            self._wait(self._settings.housekeeping_s)

    def drain(self) -> None:
        """Wait for running attempts, each until its own deadline, and record how they ended."""
        latest = max((run.begun for run in self._running.values()), default=0.0)
        ends_at = latest + self._settings.webhook_timeout_s + _LAST_MOMENT_S
        while self._running and (left := ends_at - time.monotonic()) > 0:
            self._wait(left)
        try:
            self._record_ended()
        except SQLAlchemyError as error:
            logger.warning("attempts are not recorded and will be repeated: %s", error)

    def _start_due(self) -> None:
        if len(self._running) >= self._settings.webhook_senders:
            return
        self._notice_late_ones()
        lines = self._turns.ordered(service.waiting(self._database))
        while lines and len(self._running) < self._settings.webhook_senders:
            line = lines.popleft()
            if self._may_start(receiver_of(line.url)) and self._start(line):
                lines.append(line)

    def _notice_late_ones(self) -> None:
        for run in self._running.values():
            if time.monotonic() - run.begun >= _PROMPT_S:
                self._turns.note(run.receiver, is_prompt=False)

    def _may_start(self, receiver: str) -> bool:
        if self._turns.is_prompt(receiver):
            return self._busy[receiver] < _PROMPT_AT_A_TIME
        if self._busy[receiver]:
            return False
        others = sum(n for name, n in self._busy.items() if not self._turns.is_prompt(name))
        return others < int(self._settings.webhook_senders * _SHARE_OF_OTHERS)

    def _start(self, line: service.Waiting) -> bool:
        lease_s = self._settings.webhook_timeout_s + _LEASE_MARGIN_S
        due = service.take_due(self._database, line.endpoint_id, lease_s)
        if due is None:
            return False
        receiver = receiver_of(due.url)
        self._turns.serve(receiver, line.endpoint_id)
        # A daemon, as a resolver that hangs must not keep the process from ending.
        threading.Thread(target=self._send, args=(due,), name="webhook", daemon=True).start()
        self._running[due] = _Running(receiver, time.monotonic())
        self._busy[receiver] += 1
        return True

    def _send(self, due: service.DueDelivery) -> None:
        begun = time.monotonic()
        result = attempt(due, self._settings)
        self._ended.put(_Ended(due, result, time.monotonic() - begun))

    def _wait(self, timeout_s: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._take_in(self._ended.get(timeout=timeout_s))
            while True:
                self._take_in(self._ended.get_nowait())

    def _take_in(self, ended: _Ended) -> None:
        run = self._running.pop(ended.due)
        self._busy[run.receiver] -= 1
        if not self._busy[run.receiver]:
            del self._busy[run.receiver]
        has_answered = ended.result.status_code is not None
        self._turns.note(run.receiver, is_prompt=has_answered and ended.seconds < _PROMPT_S)
        self._unrecorded.append(ended)

    def _record_ended(self) -> None:
        while self._unrecorded:
            due, result = self._unrecorded[0].due, self._unrecorded[0].result
            try:
                self._record(due, result)
            except AWAY:
                raise
            except Exception as error:
                logger.exception("%s: its attempt cannot be recorded as it was", due.delivery_id)
                self._record_bare(due, result, type(error).__name__)
            self._unrecorded.popleft()
            logger.info("%s: %s", due.delivery_id, result.status_code or result.error)

    def _record(self, due: service.DueDelivery, result: service.AttemptResult) -> None:
        service.record_attempt(self._database, due, result, self._settings.webhook_retry_s)

    def _record_bare(
        self, due: service.DueDelivery, result: service.AttemptResult, fault: str
    ) -> None:
        """Without what a stranger wrote, so that the attempt counts and the next has its turn."""
        error = None if result.is_delivered else f"{fault} while this attempt was recorded"
        try:
            self._record(due, replace(result, address=None, error=error, response_excerpt=""))
        except AWAY:
            raise
        except Exception:
            logger.exception("%s: sent again when its lease ends", due.delivery_id)
