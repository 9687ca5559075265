"""Clients that keep a server waiting, each in its own way: plain sockets, one thread for all."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LONG = b"Content-Length: 100000\r\n\r\n"
_HOST = b" HTTP/1.1\r\nHost: x\r\n"


@dataclass(frozen=True)
class Kind:
    """What is sent at once, and what byte follows every second, if any."""

    at_once: bytes
    then: bytes = b""


def kinds(part_path: str) -> dict[str, Kind]:
    """Every way to be slow. ``part_path``: where a part of 100,000 bytes may be sent."""
    json = b"POST /v1/uploads" + _HOST + b"Content-Type: application/json\r\n"
    part = b"PUT " + part_path.encode() + _HOST
    return {
        "silent": Kind(b""),
        "half a request line": Kind(b"GET /heal"),
        "dribbled header": Kind(b"GET /healthz" + _HOST + b"X-A: ", b"a"),
        "endless headers": Kind(b"GET /healthz" + _HOST, b"a:b\r\n"),
        "JSON without its body": Kind(json + _LONG),
        "part without its body": Kind(part + _LONG),
        "dribbled JSON": Kind(json + _LONG, b" "),
        "dribbled part": Kind(part + _LONG, b"a"),
        "dribbled chunks": Kind(part + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        "part that stops": Kind(part + _LONG + b"a" * 30_000),
        "body that nobody asked for": Kind(b"GET /healthz" + _HOST + _LONG, b"a"),
        "body behind an error": Kind(b"PUT /nowhere" + _HOST + _LONG, b"a"),
        "answers that nobody reads": Kind((b"GET /openapi.json" + _HOST + b"\r\n") * 80),
        "idle": Kind(b"GET /healthz" + _HOST + b"\r\n"),
        "TLS": Kind(bytes.fromhex("160301020001000001fc0303") + os.urandom(32)),
    }


class Crowd:
    """Many such clients. Those that the server hangs up on stay here until the block ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[tuple[socket.socket, Kind]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._dribble, daemon=True)

    def join(self, kind: Kind) -> None:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(("127.0.0.1", self._port))
        client.setblocking(False)
        with contextlib.suppress(OSError):
            client.send(kind.at_once)
        self._sockets.append((client, kind))

    def _dribble(self) -> None:
        while not self._over.wait(1):
            for client, kind in list(self._sockets):
                if kind.then:
                    with contextlib.suppress(OSError):
                        client.send(kind.then)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for client, _kind in self._sockets:
            client.close()


def open_sockets(pid: int) -> int:
    """Sockets that another process holds."""
    number = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            number += os.readlink(entry).startswith("socket:")
    return number


def files_below(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


@contextlib.contextmanager
def many_descriptors(number: int) -> Iterator[bool]:
    """Whether this process may open so many files, for the length of the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    may = hard == resource.RLIM_INFINITY or hard >= number
    if may and soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield may
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
