"""A small webhook receiver on loopback: keeps what arrives with a good signature.

For the demo and for trying things out; a real receiver uses its language's Standard Webhooks
library. Refuses old timestamps and wrong signatures as the specification asks.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from app.webhooks.signing import new_secret, sign

_TOLERANCE_S = 300
_MAX_BODY_BYTES = 64 * 1024


def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether one of the signatures is ours and the timestamp is recent. ``headers`` lowercase."""
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdigit() or abs(time.time() - int(stamp)) > _TOLERANCE_S:
        return False
    expected = sign(secret, headers.get("webhook-id", ""), int(stamp), body)["webhook-signature"]
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(one.encode(), expected.encode()) for one in given)


class WebhookReceiver:
    """Use as a context manager; register ``url`` and ``secret`` with the service."""

    def __init__(self) -> None:
        self.secret = new_secret()
        self.refused = 0
        self._events: dict[str, dict[str, Any]] = {}
        self._arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = min(int(self.headers.get("Content-Length", 0)), _MAX_BODY_BYTES)
                headers = {name.lower(): value for name, value in self.headers.items()}
                is_good = receiver._keep(headers, self.rfile.read(length))
                self.send_response(204 if is_good else 401)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Say nothing: the caller draws progress bars."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        """Where to send events, on 127.0.0.1; the port is the one that was bound."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/clipvet"

    def wait_for(self, inspection_id: str, timeout_s: float) -> dict[str, Any] | None:
        """The verified event about an inspection, or None if none comes in time."""
        with self._arrived:
            self._arrived.wait_for(lambda: inspection_id in self._events, timeout_s)
            return self._events.get(inspection_id)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _keep(self, headers: dict[str, str], body: bytes) -> bool:
        if not verify(self.secret, headers, body):
            self.refused += 1
            return False
        event = json.loads(body)
        with self._arrived:
            self._events[event["data"]["inspection_id"]] = event
            self._arrived.notify_all()
        return True
