"""TCP links that fail on command: one per process and server.

A link forwards bytes between a port of its own and a server's. It can be cut (what is open is reset,
what is new is refused), silenced (accepts, forwards nothing, closes nothing), orphaned (what is open is
never served again, what is new is, as behind a firewall that forgot its connections), delayed and
throttled. All links share one event loop in one thread. Knows no protocol above TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

_CHUNK = 16 * 1024
_RESET = struct.pack("ii", 1, 0)
"""``SO_LINGER`` of zero seconds: closing sends RST, as a peer that died does."""


@dataclass(eq=False)
class _Pair:
    """One connection: a client's side and, once it is served, the server's."""

    gate: asyncio.Event
    sides: list[asyncio.StreamWriter] = field(default_factory=list)
    is_orphan: bool = False

    def reset(self) -> None:
        for side in self.sides:
            raw = side.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            side.transport.abort()
        # Whoever waits at the gate finds its connection gone.
        self.gate.set()


class Link:
    """Use its methods from any thread; each returns when it has taken effect."""

    def __init__(self, proxies: Proxies, name: str, target: int) -> None:
        self.name = name
        self._proxies = proxies
        self._target = target
        self._pairs: set[_Pair] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._delay_s = 0.0
        self._bytes_per_s = 0.0
        self._server: asyncio.Server | None = None
        self.port = 0
        self._do(self._listen())

    def cut(self) -> None:
        """Reset everything and refuse what comes."""
        self._do(self._cut())

    def drop(self) -> None:
        """Reset everything once; new connections are served."""
        self._do(self._reset_all())

    def silence(self) -> None:
        """Accept, forward nothing, close nothing."""
        self._do(self._silence())

    def orphan(self) -> None:
        """What is open is never served again, nor closed, until ``heal``; what is new is served."""
        self._do(self._orphan())

    def slow(self, *, delay_s: float = 0.0, bytes_per_s: float = 0.0) -> None:
        """Each chunk waits; 0 means that it does not."""
        self._delay_s, self._bytes_per_s = delay_s, bytes_per_s

    def heal(self, *, forget: bool = False) -> None:
        """Serve again. ``forget``: connections from before are reset, else they go on."""
        self._do(self._heal(forget))

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._proxies.loop).result(20)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        await self._close()
        await self._reset_all()

    async def _reset_all(self) -> None:
        for pair in list(self._pairs):
            pair.reset()

    async def _silence(self) -> None:
        self._open.clear()

    async def _orphan(self) -> None:
        for pair in self._pairs:
            pair.gate, pair.is_orphan = asyncio.Event(), True

    async def _heal(self, forget: bool) -> None:
        self._delay_s = self._bytes_per_s = 0.0
        for pair in list(self._pairs):
            if forget or pair.is_orphan:
                pair.reset()
        self._open.set()
        if self._server is None:
            await self._listen()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(self._open, [writer])
        self._pairs.add(pair)
        try:
            await pair.gate.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            pair.sides.append(back)
            if writer.transport.is_closing():
                return
            await asyncio.gather(self._pump(pair, reader, back), self._pump(pair, there, writer))
        except OSError:
            pass
        finally:
            self._pairs.discard(pair)
            pair.gate = asyncio.Event()
            pair.reset()

    async def _pump(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await self._pass(pair, len(data))
                writer.write(data)
                await writer.drain()
            await self._pass(pair, 0)
            writer.write_eof()
        except OSError:
            # One side is gone; so is the other, and with it the other pump.
            pair.reset()

    async def _pass(self, pair: _Pair, size: int) -> None:
        # Read anew each time: orphaning exchanges the gate of an open connection.
        while not pair.gate.is_set():
            await pair.gate.wait()
        wait_s = self._delay_s + (size / self._bytes_per_s if self._bytes_per_s else 0.0)
        if wait_s:
            await asyncio.sleep(wait_s)


class Proxies:
    """Use as a context manager; makes links and runs them."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _end(self) -> None:
        # In Python 3.11 the streams complain of every connection that is cancelled.
        self.loop.set_exception_handler(lambda *_: None)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def link(self, name: str, target: int) -> Link:
        """A new link to a port of this machine."""
        return Link(self, name, target)
