"""An API that is told to end while a request hangs in the database: the caller hears of an outage, not of a fault."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.support.processes import Process
from tests.support.servers import answers, free_port, wait_for

_HEAD = (
    b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
)


def test_what_cannot_be_finished_is_answered(tmp_path: Path) -> None:
    port, environment = free_port(), {"CLIPVET_DATA_DIR": str(tmp_path)}
    migrate = [sys.executable, "-m", "app", "migrate"]
    subprocess.run(migrate, check=True, env=os.environ | environment)
    api = Process(["api", "--port", str(port)], environment, tmp_path / "api.log")
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for("the API", lambda: answers(f"{url}/readyz"))
        writer = sqlite3.connect(tmp_path / "clipvet.sqlite3", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with socket.create_connection(("127.0.0.1", port), timeout=30) as caller:
            body = b'{"filename": "m", "size": 1}'
            caller.sendall(_HEAD % len(body))
            # Whoever asks for the body has the request at work.
            assert caller.recv(1000).startswith(b"HTTP/1.1 100")
            caller.sendall(body)
            os.kill(api.pid, signal.SIGTERM)
            status, fields, text = _read(caller)
        writer.close()
    finally:
        api.kill()
    assert (status, json.loads(text)["code"]) == (503, "shutting_down")
    assert fields["content-type"] == "application/problem+json"
    assert {"x-request-id", "retry-after"} <= set(fields)


def _read(caller: socket.socket) -> tuple[int, dict[str, str], bytes]:
    data = b""
    while piece := caller.recv(65536):
        data += piece
    head, _, text = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), fields, text
