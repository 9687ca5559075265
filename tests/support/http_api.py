"""The API of a ledger over real HTTP, in a thread: for what a client does with a token, or a fault."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tests.support.ledger import Ledger
from tests.support.servers import free_port, wait_for


@contextmanager
def served(ledger: Ledger) -> Iterator[str]:
    """Where it listens; nobody works on what is asked for."""
    port = free_port()
    config = uvicorn.Config(ledger.api.app, port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for("the API", lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
