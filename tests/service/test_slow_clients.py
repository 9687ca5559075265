"""Clients that keep the API waiting, on real sockets to a real process; timeouts are short here."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.processes import Process, Service
from tests.support.servers import answers, free_port, wait_for
from tests.support.slow_clients import Crowd, files_below, kinds, many_descriptors, open_sockets

CROWD = 1050
PART = 100_000


class Api(Service):
    """``clipvet api`` on SQLite and a folder, without a worker."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        environment = {f"CLIPVET_{name.upper()}": str(value) for name, value in settings.items()}
        environment |= {"CLIPVET_DATA_DIR": str(folder / "data")}
        run = [sys.executable, "-m", "app", "migrate"]
        subprocess.run(run, check=True, env=os.environ | environment)
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.process = Process(["api", "--port", str(self.port)], environment, folder / "log")
        wait_for("the API", lambda: answers(f"{self.url}/healthz"))

    def begin(self, size: int = PART) -> str:
        """Path of the only part of a new upload."""
        made = self.post("/v1/uploads", {"filename": "x.pt", "size": size})
        return str(made["parts"][0]["upload_url"]).removeprefix(self.url)

    def queued(self, folder: Path) -> str:
        """An inspection that nobody will run."""
        artifact = folder / "x.pt"
        artifact.write_bytes(b"x")
        return self.submit(artifact, {})

    def spooled(self) -> int:
        return files_below(self.folder / "data" / "spool")


@contextlib.contextmanager
def api(folder: Path, **settings: object) -> Iterator[Api]:
    made = Api(folder, **settings)
    try:
        yield made
    finally:
        made.process.stop()
        print((folder / "log").read_text()[-4000:])


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Every patience is two seconds."""
    with api(
        tmp_path_factory.mktemp("hasty"),
        header_timeout_s=2,
        body_timeout_s=2,
        answer_timeout_s=2,
    ) as made:
        yield made


def sent(port: int, data: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(data)
    return client


def read_all(client: socket.socket) -> bytes:
    """Until the server hangs up."""
    with client:
        blocks = []
        with contextlib.suppress(ConnectionResetError):
            while block := client.recv(1 << 16):
                blocks.append(block)
        return b"".join(blocks)


def problem_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    head = head.lower()
    assert b"content-type: application/problem+json" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"connection: close" in head
    return dict(json.loads(body))


def test_a_crowd_of_slow_clients_keeps_nobody_out(hasty: Api, tmp_path: Path) -> None:
    inspection, polled = hasty.queued(tmp_path), []
    path = f"/v1/inspections/{inspection}"
    poll = threading.Thread(target=lambda: polled.append(hasty.get(path, wait=7)["status"]))
    before, artifact = open_sockets(hasty.process.pid), tmp_path / "honest.bin"
    artifact.write_bytes(os.urandom(4 << 20))
    ways = list(kinds(hasty.begin()).values())
    with many_descriptors(CROWD + 500) as may, Crowd(hasty.port) as crowd:
        if not may:
            pytest.skip("this process may not open enough files")
        poll.start()
        slowest = 0.0
        for number in range(CROWD):
            crowd.join(ways[number % len(ways)])
            if number % 70 == 0:
                begun = time.monotonic()
                assert hasty.get("/healthz") == {"status": "ok"}
                slowest = max(slowest, time.monotonic() - begun)
        assert hasty.upload(artifact)["status"] == "stored"
        hasty.begin()
        assert slowest < 2
        # The descriptors are back while every client still holds on.
        wait_for("the crowd's end", lambda: open_sockets(hasty.process.pid) <= before + 5, 15)
    poll.join()
    assert polled == ["queued"]
    assert hasty.spooled() == 0


@pytest.mark.parametrize("way", ["half a request line", "dribbled header", "endless headers"])
def test_a_late_header_is_told_and_ends(hasty: Api, way: str) -> None:
    answer = read_all(sent(hasty.port, kinds("/x")[way].at_once))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert problem_of(answer)["code"] == "request_timeout"


def test_who_says_nothing_is_told_nothing(hasty: Api) -> None:
    begun = time.monotonic()
    assert read_all(sent(hasty.port, b"")) == b""
    assert 1.5 < time.monotonic() - begun < 5


@pytest.mark.parametrize("way", ["JSON without its body", "part that stops", "dribbled chunks"])
def test_a_late_body_is_told_and_ends(hasty: Api, way: str) -> None:
    answer = read_all(sent(hasty.port, kinds(hasty.begin())[way].at_once))
    assert answer.startswith(b"HTTP/1.1 408 ")
    told = problem_of(answer)
    assert (told["status"], told["code"]) == (408, "request_timeout")
    assert hasty.spooled() == 0


def test_what_is_no_http_is_a_problem_too(hasty: Api) -> None:
    answer = read_all(sent(hasty.port, kinds("/x")["TLS"].at_once))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert problem_of(answer)["code"] == "bad_request"


def test_a_body_above_the_minimum_rate_may_take_long(hasty: Api) -> None:
    head = f"PUT {hasty.begin(15_000)} HTTP/1.1\r\nHost: x\r\nContent-Length: 15000\r\n\r\n"
    client = sent(hasty.port, head.encode())
    for _ in range(10):
        time.sleep(0.4)
        client.sendall(b"x" * 1500)
    assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    client.close()


def test_a_body_below_the_minimum_rate_ends_though_it_goes_on(hasty: Api) -> None:
    client = sent(hasty.port, kinds(hasty.begin())["dribbled part"].at_once)
    begun = time.monotonic()
    client.settimeout(0.3)
    answer = b""
    while not answer and time.monotonic() - begun < 8:
        client.sendall(b"a" * 50)
        with contextlib.suppress(TimeoutError):
            answer = client.recv(100)
    client.close()
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_slow_reader_gets_everything(hasty: Api) -> None:
    """More than all buffers on the way hold, read for longer than anybody's patience."""
    requests, ends = 60, (b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n", b"Connection: close\r\n")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(10)
        client.connect(("127.0.0.1", hasty.port))
        client.sendall((ends[0] + b"\r\n") * (requests - 1) + ends[0] + ends[1] + b"\r\n")
        got = bytearray()
        begun = time.monotonic()
        while time.monotonic() - begun < 6:
            got += client.recv(65536)
            time.sleep(0.25)
        assert got.count(b"HTTP/1.1 200 OK") < requests
        while block := client.recv(1 << 20):
            got += block
    assert got.count(b"HTTP/1.1 200 OK") == requests


def test_a_stranger_is_refused_before_the_body(tmp_path: Path) -> None:
    with api(tmp_path, api_token="sesame", max_connections=40) as locked:
        for way in ("JSON without its body", "part without its body", "part that stops"):
            begun = time.monotonic()
            client = sent(locked.port, kinds("/v1/uploads/u/parts/1")[way].at_once)
            assert client.recv(100).startswith(b"HTTP/1.1 401 ")
            assert time.monotonic() - begun < 1
            client.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Default timeouts, few connections: nobody is late, there are only too many."""
    with api(tmp_path_factory.mktemp("small"), max_connections=40) as made:
        yield made


def test_who_waits_without_a_request_makes_room(small: Api, tmp_path: Path) -> None:
    path, polled = f"/v1/inspections/{small.queued(tmp_path)}", []
    poll = threading.Thread(target=lambda: polled.append(small.get(path, wait=4)["status"]))
    poll.start()
    head = f"PUT {small.begin()} HTTP/1.1\r\nHost: x\r\nContent-Length: {PART}\r\n\r\n"
    upload = sent(small.port, head.encode() + b"x" * 50_000)
    time.sleep(1.2)
    ways = [kinds(small.begin())[way] for way in ("silent", "dribbled header", "dribbled part")]
    with Crowd(small.port) as crowd:
        for number in range(200):
            crowd.join(ways[number % 3])
            if number % 20 == 0:
                assert small.get("/healthz") == {"status": "ok"}
        # Those that were sent away close when the loop comes to them; nobody's time is up by then.
        wait_for("room", lambda: open_sockets(small.process.pid) < 60, 5)
        upload.sendall(b"x" * 50_000)
        assert upload.recv(100).startswith(b"HTTP/1.1 200 ")
        upload.close()
        poll.join()
    assert polled == ["queued"]


def test_a_long_poll_is_answered_when_the_service_ends(small: Api, tmp_path: Path) -> None:
    path, answered = f"{small.url}/v1/inspections/{small.queued(tmp_path)}", []

    def wait() -> None:
        answered.append(httpx2.get(path, params={"wait": 60}, timeout=90).status_code)

    poll = threading.Thread(target=wait)
    poll.start()
    time.sleep(0.5)
    begun = time.monotonic()
    small.process.stop()
    poll.join()
    assert answered == [200]
    assert time.monotonic() - begun < 4
