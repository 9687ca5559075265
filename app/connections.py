"""Connections of the API: how long a client may keep us waiting, and how many may wait at a time.

uvicorn bounds neither: half a request holds its descriptor for ever. Here a header comes whole
within a while, a body goes on and keeps a minimum rate, and an answer is read. Only time
counts during which we were ready: a full spool or a stopped process makes nobody late. Above a
number of connections the one with the least claim to stay makes room, so that a newcomer
always gets in. Knows no route.
"""

from __future__ import annotations

import fcntl
import heapq
import logging
import struct
import termios
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import h11
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.documented import PROBLEM, Problem
from app.errors import RequestTimeout
from app.settings import Settings

logger = logging.getLogger("clipvet.connections")

LOOK_S = 0.5
"""How often :meth:`Doorkeeper.look` is to be called."""
_LONGEST_GAP_S = 1.0
_BRIEF_S = 1.0
"""So long a newcomer is taken for one whose request is on its way."""
_GOOD_PACE = 10
"""Times the minimum rate: from here on a body has as good a claim as who waits for an answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, bytes a second, and a number of connections; see ``Settings``."""

    header_s: float
    body_s: float
    body_rate: int
    answer_s: float
    most: int

    @classmethod
    def of(cls, settings: Settings, most: int) -> Limits:
        """The limits that ``settings`` state, for at most ``most`` connections."""
        return cls(
            settings.header_timeout_s,
            settings.body_timeout_s,
            settings.body_min_bytes_per_s,
            settings.answer_timeout_s,
            most,
        )


class Connection(H11Protocol):
    """uvicorn's connection, which tells how long its client has kept us waiting."""

    def __init__(self, *, door: Doorkeeper, **by_uvicorn: Any) -> None:
        super().__init__(**by_uvicorn)
        self._door = door
        self._inner, self.app = self.app, self._run
        self._is_late = False
        self._unsent = 0
        self._unread_s = 0.0
        self._has_resumed = False
        self._restart()

    def _restart(self) -> None:
        """Wait anew: for a header, or for the body behind it."""
        self._began = self._heard = self._door.now()
        self._came = 0

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hurried() -> Message:
            message = await receive()
            if self._is_late:
                raise RequestTimeout("the rest of the request took too long to arrive")
            return message

        await self._inner(scope, hurried, send)

    def connection_made(self, transport: Any) -> None:
        """Start the clock, and hang up on those with the least claim where there are too many."""
        super().connection_made(transport)
        self._restart()
        self._door.make_room(self, self.connections)

    def data_received(self, data: bytes) -> None:
        """Count bytes and note the time before uvicorn parses them."""
        awaited = self.conn.their_state
        if awaited is h11.IDLE and not self._came:
            self._restart()
        self._came += len(data)
        self._heard = self._door.now()
        super().data_received(data)
        if self.conn.their_state is not awaited:
            self._restart()
            if self.conn.their_state is h11.SEND_BODY:
                # What came along with the header; no application has run yet.
                self._came = len(self.cycle.body)

    def on_response_complete(self) -> None:
        """Start the clock anew: the next request may come."""
        super().on_response_complete()
        self._restart()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        self._has_resumed = True
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 cannot parse with a problem document, as every error is."""
        self._refuse(400, "bad_request", msg)

    def look(self, passed_s: float) -> None:
        """End this connection, or its request, where the client keeps us waiting for too long."""
        if self._is_unread(passed_s):
            self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self.conn.their_state is h11.IDLE:
            if self._door.now() - self._began > self._door.limits.header_s:
                self._end_header()
        elif self.conn.their_state is h11.SEND_BODY:
            if self.flow.read_paused or self._owes_continue():
                self._began += passed_s
                self._heard += passed_s
            elif self._is_slow():
                self._end_body()

    def claim(self) -> tuple[int, float, float]:
        """What speaks for staying; of all connections the least one goes first.

        Who asks nothing, then who is still asking, the slowest first, then who waits for an answer.
        """
        waited = self._door.now() - self._began
        is_idle = self.conn.their_state is h11.IDLE or self._is_answered()
        if is_idle and waited > _BRIEF_S and not self.transport.get_write_buffer_size():
            return 0, 0, -waited
        rate, least = self._came / max(waited, _BRIEF_S), self._door.limits.body_rate
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and rate < _GOOD_PACE * least:
            return 1, max(rate, least), -waited
        return 2, -self._unread_s, -waited

    def _is_answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _owes_continue(self) -> bool:
        """Whether the client waits for our ``100 Continue``."""
        return self.cycle.waiting_for_100_continue and not self._is_answered()

    def _is_slow(self) -> bool:
        now, limits = self._door.now(), self._door.limits
        waited = now - self._began
        is_silent = now - self._heard > limits.body_s
        return is_silent or (waited > limits.body_s and self._came < limits.body_rate * waited)

    def _is_unread(self, passed_s: float) -> bool:
        """Whether the client has read nothing for long of what we have for it."""
        unsent = self.transport.get_write_buffer_size() + _in_kernel(self.transport)
        has_stopped = 0 < self._unsent <= unsent and not self._has_resumed
        self._unread_s = self._unread_s + passed_s if has_stopped else 0.0
        self._unsent, self._has_resumed = unsent, False
        return self._unread_s > self._door.limits.answer_s

    def _end_header(self) -> None:
        if self._came:
            self._refuse(408, RequestTimeout.code, "the header took too long to arrive")
        else:
            self.transport.close()

    def _end_body(self) -> None:
        if self._is_answered():
            self.transport.close()
        elif not self._is_late:
            self._is_late = True
            # Whoever reads the body answers 408 now; whoever does not answers first.
            self.cycle.message_event.set()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer what never became a request, and hang up."""
        told = Problem(
            type=f"urn:clipvet:problem:{code}",
            title=code.replace("_", " ").capitalize(),
            status=status,
            detail=detail,
            instance="",
            code=code,
            request_id=None,
        )
        headers = {"content-type": PROBLEM, "x-content-type-options": "nosniff"}
        answer = h11.Response(
            status_code=status, headers=[*headers.items(), ("connection", "close")]
        )
        for event in (answer, h11.Data(told.model_dump_json().encode()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Doorkeeper:
    """Looks at all connections now and then; makes room where there are too many."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._looked = time.monotonic()
        self._lost = 0.0

    def connection(self, **by_uvicorn: Any) -> Connection:
        """What uvicorn calls for each connection that it accepts."""
        return Connection(door=self, **by_uvicorn)

    def now(self) -> float:
        """A clock that stands still while this process is stopped, or too busy to look."""
        return time.monotonic() - self._lost

    def look(self, connections: Collection[Any]) -> None:
        """End what has kept us waiting. To be called every ``LOOK_S``."""
        gap = time.monotonic() - self._looked
        self._looked += gap
        passed = min(gap, _LONGEST_GAP_S)
        self._lost += gap - passed
        for connection in list(connections):
            try:
                connection.look(passed)
            except Exception:
                # uvicorn's own loop calls us: one connection must not end the service.
                logger.exception("a connection cannot be looked at")
                connection.transport.abort()

    def make_room(self, newcomer: Connection, connections: set[Any]) -> None:
        """Hang up on those with the least claim to stay, where there are more than may be."""
        if len(connections) <= self.limits.most:
            return
        # Several at a time where nobody misses them: whoever floods us comes again at once.
        number = max(1, self.limits.most // 32)
        others = (other for other in connections if other is not newcomer)
        leaving = heapq.nsmallest(number, others, key=Connection.claim)
        for place, connection in enumerate(leaving):
            if place == 0 or connection.claim()[0] == 0:
                connections.discard(connection)
                connection.transport.abort()
        logger.debug("made room among %d connections", len(connections))


def _in_kernel(transport: Any) -> int:
    """Bytes that were handed to the kernel and that the client's side has not yet acknowledged."""
    try:
        handle = transport.get_extra_info("socket").fileno()
        answer = fcntl.ioctl(handle, termios.TIOCOUTQ, struct.pack("i", 0))
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", answer)[0])
