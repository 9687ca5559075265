"""One webhook attempt: vet the address, sign, POST, read a little, say what came of it.

The guard sits where the connection is made: the name is resolved once, every address is judged, and
the socket goes to the judged address while TLS and Host keep the name; a resolver that changes its
mind afterwards changes nothing. No proxy, no redirects, no cookies, one deadline for
all of it. Knows no rows.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpcore2

from app.db.base import utcnow
from app.settings import Settings
from app.webhooks import service
from app.webhooks.signing import sign
from app.webhooks.targets import ForbiddenTarget, check_address, check_url

_MAX_RESPONSE_BYTES = 64 * 1024
_EXCERPT_CHARS = 1024
_WRITE_BYTES = 16 * 1024


class _DeadlineStream(httpcore2.NetworkStream):
    """A stream whose every step must end before one common moment."""

    def __init__(self, stream: httpcore2.NetworkStream, ends_at: float) -> None:
        self._stream = stream
        self._ends_at = ends_at

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces, as the stream below grants the whole wait to each bit that the receiver takes.
        for begin in range(0, len(buffer), _WRITE_BYTES):
            piece = buffer[begin : begin + _WRITE_BYTES]
            self._stream.write(piece, self._left(httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._left(httpcore2.ConnectTimeout)
        return _DeadlineStream(
            self._stream.start_tls(ssl_context, server_hostname, left), self._ends_at
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, late: type[Exception]) -> float:
        return _left(self._ends_at, late)


def _left(ends_at: float, late: type[Exception]) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise late("the whole attempt took too long")
    return left


@dataclass
class GuardedBackend(httpcore2.NetworkBackend):
    """Connects only to addresses that ``check_address`` lets through."""

    settings: Settings
    scheme: str
    ends_at: float
    address: str | None = field(default=None, init=False)
    """The address that was connected to, for the log."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Resolve ``host`` once, judge every address, and connect to one that was judged.

        Raises:
            ForbiddenTarget: some address of the host is not to be reached.
            httpcore2.ConnectError: the name cannot be resolved, or the address refuses.
            httpcore2.ConnectTimeout: the attempt's time is over.
        """
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError("the host name cannot be resolved") from error
        addresses = [ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in infos]
        for address in addresses:
            check_address(address, port, self.scheme, self.settings.allowed_networks)
        self.address = str(addresses[0])
        # A resolver knows no deadline; whoever comes back too late from it sends nothing any more.
        left = _left(self.ends_at, httpcore2.ConnectTimeout)
        stream = httpcore2.SyncBackend().connect_tcp(
            self.address, port, timeout=left, socket_options=socket_options or []
        )
        return _DeadlineStream(stream, self.ends_at)


def attempt(due: service.DueDelivery, settings: Settings) -> service.AttemptResult:
    """POST once.

    Never raises: whatever ends an attempt, also before anything is sent, is its result. An old
    row may hold a secret, an id or a URL that no request can be built from, and libraries raise
    what they like for these.
    """
    started = utcnow()
    ends_at = time.monotonic() + settings.webhook_timeout_s
    backend: GuardedBackend | None = None
    status: int | None = None
    error, excerpt, retry_after = None, "", None
    try:
        parts = check_url(
            due.url,
            allow_http=settings.webhook_allow_http,
            allowed=settings.allowed_networks,
        )
        backend = GuardedBackend(settings, parts.scheme, ends_at)
        status, excerpt, retry_after = _post(due, parts.geturl(), backend)
    except ForbiddenTarget as reason:
        error = f"forbidden target: {reason}"
    except Exception as reason:
        error = f"{type(reason).__name__}: {reason}"
    return service.AttemptResult(
        started_at=started,
        finished_at=utcnow(),
        address=backend.address if backend else None,
        status_code=status,
        error=error,
        response_excerpt=excerpt,
        retry_after_s=retry_after,
    )


def _post(
    due: service.DueDelivery, url: str, backend: GuardedBackend
) -> tuple[int, str, float | None]:
    headers = sign(due.secret, due.event_id, int(time.time()), due.payload) | {
        "content-type": "application/json",
        "user-agent": "clipvet-webhooks/1",
        "accept-encoding": "identity",
    }
    pool = httpcore2.ConnectionPool(
        ssl_context=_trusted() if backend.scheme == "https" else None,
        network_backend=backend,
        max_keepalive_connections=0,
    )
    with (
        pool,
        pool.stream("POST", url, headers=list(headers.items()), content=due.payload) as response,
    ):
        body = b""
        for chunk in response.iter_stream():
            body += chunk
            if len(body) >= _MAX_RESPONSE_BYTES:
                break
        named = {name.lower(): value for name, value in response.headers}
        excerpt = body.decode("utf-8", "replace").replace("\x00", "")[:_EXCERPT_CHARS]
        return response.status, excerpt, _seconds(named.get(b"retry-after"))


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Loading the machine's certificates takes longer than most attempts; once will do."""
    return httpcore2.default_ssl_context()


def _seconds(value: bytes | None) -> float | None:
    return float(value) if value is not None and value.isdigit() else None
