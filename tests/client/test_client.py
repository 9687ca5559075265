"""The client where the way to the service, or the service itself, is not what it should be."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.client import Busy, Client, ClipvetError, ServiceFault, Unreachable, WrongDigest
from app.client.files import as_one_file
from app.db.session import Database
from app.models import Upload
from tests.client.conftest import PART_BYTES
from tests.support.checkpoints import coop_state, save_dassl
from tests.support.processes import Embedded
from tests.support.receiver import Receiver, plain

PARTS = 4


@pytest.fixture
def artifact(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Bytes that no other test sends."""
    path = tmp_path / "big.bin"
    path.write_bytes(request.node.name.encode().ljust(PARTS * PART_BYTES, b"."))
    return path


@contextmanager
def noting(client: Client) -> Iterator[list[str]]:
    """Method and path of every request that goes out."""
    sent: list[str] = []
    plainly = client._http.request

    def request(method: str, path: str, **options: Any) -> Any:
        sent.append(f"{method} {path}")
        return plainly(method, path, **options)

    client._http.request = request  # type: ignore[method-assign]
    yield sent


def puts(sent: list[str]) -> int:
    return sum(line.startswith("PUT ") for line in sent)


def test_what_a_killed_process_had_sent_is_not_sent_again(
    service: Embedded, artifact: Path
) -> None:
    def killed(sent: int) -> None:
        if sent >= 2 * PART_BYTES:
            raise KeyboardInterrupt

    with Client(service.url) as first, pytest.raises(KeyboardInterrupt):
        first.upload(artifact, killed)
    seen: list[int] = []
    with Client(service.url) as second, noting(second) as sent:
        upload = second.upload(artifact, seen.append)
    assert puts(sent) == PARTS - 2
    assert upload["status"] == "stored"
    assert seen[-1] == upload["size"]


def test_a_link_that_is_cut_within_a_part_is_no_reason_to_begin_anew(
    service: Embedded, artifact: Path
) -> None:
    with (
        cutting(service.url, after_bytes=PART_BYTES + 2000) as url,
        Client(url) as client,
        noting(client) as sent,
    ):
        upload = client.upload(artifact)
    assert upload["status"] == "stored"
    assert puts(sent) == PARTS + 1


@contextmanager
def cutting(url: str, after_bytes: int) -> Iterator[str]:
    """A proxy that once, after so many bytes from the client, cuts the connection; then none."""
    target = url.removeprefix("http://").split(":")
    left = [after_bytes]
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, counts: bool) -> None:
        try:
            while data := source.recv(1024):
                if counts and left[0] > 0:
                    left[0] -= len(data)
                    if left[0] <= 0:
                        break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((target[0], int(target[1])))
            for pair in ((near, far, True), (far, near, False)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        assert left[0] <= 0, "nothing was cut"


def test_what_was_purged_is_sent_again(service: Embedded, artifact: Path) -> None:
    with Client(service.url) as client:
        first = client.upload(artifact)
        database = Database(f"sqlite:///{service._data_dir / 'clipvet.sqlite3'}")
        with database.begin() as session:
            session.execute(update(Upload).where(Upload.id == first["id"]).values(status="purged"))
        database.close()
        again = client.upload(artifact)
    assert again["id"] != first["id"]
    assert again["status"] == "stored"


def test_two_that_send_the_same_file_both_get_it(service: Embedded, artifact: Path) -> None:
    ends: list[str] = []

    def send() -> None:
        with Client(service.url) as client:
            ends.append(client.upload(artifact)["status"])

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == ["stored"] * 3


def answering(
    *answers: tuple[int, dict[str, str], Any],
) -> Callable[[BaseHTTPRequestHandler], None]:
    """One answer after another, the last for ever."""
    left = list(answers)

    def answer(request: BaseHTTPRequestHandler) -> None:
        status, headers, body = left.pop(0) if len(left) > 1 else left[0]
        plain(status, headers, json.dumps(body).encode())(request)

    return answer


def base(receiver: Receiver) -> str:
    return receiver.url.removesuffix("/hook")


def test_a_service_that_is_away_for_a_moment_is_waited_for() -> None:
    away = (503, {"Retry-After": "1"}, {"code": "database_unavailable", "detail": "away"})
    with Receiver(answering(away, (200, {}, {"verdict": "clean"}))) as receiver:
        with Client(base(receiver)) as client:
            began = time.monotonic()
            assert client.report("insp_1") == {"verdict": "clean"}
        assert time.monotonic() - began >= 1
        assert len(receiver.received) == 2


def test_patience_ends() -> None:
    with (
        Receiver(answering((429, {}, {"code": "slow_down"}))) as receiver,
        Client(base(receiver), patience_s=0.1) as client,
        pytest.raises(Busy) as told,
    ):
        client.report("insp_1")
    assert told.value.code == "slow_down"


def test_a_fault_of_the_service_is_not_asked_for_again() -> None:
    fault = {"code": "internal_error", "detail": "our fault", "request_id": "req_1"}
    with Receiver(answering((500, {}, fault))) as receiver:
        with Client(base(receiver)) as client, pytest.raises(ServiceFault) as told:
            client.report("insp_1")
        assert len(receiver.received) == 1
    assert told.value.problem == fault
    assert str(told.value) == "our fault (internal_error, request req_1)"


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Or the token would go to another host."""
    with Receiver(answering((status, {"Location": "/v1/elsewhere"}, {}))) as receiver:
        with (
            Client(base(receiver), "token", patience_s=0) as client,
            pytest.raises(Unreachable, match="no clipvet service"),
        ):
            client.metadata()
        assert len(receiver.received) == 1


def test_a_service_that_holds_no_request_is_not_asked_all_the_time() -> None:
    running = {"id": "insp_1", "status": "running"}
    with Receiver(answering((200, {}, running))) as receiver, Client(base(receiver)) as client:
        with pytest.raises(TimeoutError, match="insp_1 is running after 1 s"):
            client.wait("insp_1", timeout_s=1)
        assert len(receiver.received) <= 3


def test_whoever_waits_long_asks_less_often() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        plain(200, {}, b'{"id": "i", "status": "running"}')(request)

    with Receiver(answer) as receiver, Client(base(receiver)) as client:
        with pytest.raises(TimeoutError):
            client.wait("i", timeout_s=4)
        holds = [float(got.path.rpartition("=")[2]) for got in receiver.received]
    assert holds[:2] == [1.0, 1.5]
    assert holds[-1] <= 4 - sum(holds[:-1]) + 0.1


def test_other_bytes_than_the_service_names_are_not_kept(tmp_path: Path) -> None:
    with (
        Receiver(answering((200, {"ETag": f'"{"0" * 64}"'}, {"a": 1}))) as receiver,
        Client(base(receiver)) as client,
        pytest.raises(WrongDigest),
    ):
        client.download("/v1/x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_half_a_download_is_not_kept(tmp_path: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"half")
        request.close_connection = True

    with Receiver(answer) as receiver, Client(base(receiver)) as client, pytest.raises(Unreachable):
        client.download("/v1/x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/etc/x", ".x", "a/b", "", "a\x00b"])
def test_a_service_names_no_file_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    items = {"items": [{"name": name, "sha256": "0" * 64}]}
    with (
        Receiver(answering((200, {}, items))) as receiver,
        Client(base(receiver)) as client,
        pytest.raises(ClipvetError, match="not saved"),
    ):
        client.download_artifacts("insp_1", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_the_same_zip_whenever_it_was_made(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name / "box"
        (folder / "b").mkdir(parents=True)
        (folder / "b" / "x").write_bytes(b"x" * 10)
        (folder / "a").write_bytes(b"a")
        with as_one_file(folder) as packed:
            made.append(packed.read_bytes())
    assert made[0] == made[1]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="holds no file"), as_one_file(empty):
        raise AssertionError


def test_a_folder_is_read_as_the_zip_that_is_sent_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    (folder / "prompt_learner").mkdir(parents=True)
    save_dassl(folder / "prompt_learner" / "model.pth.tar-50", coop_state())
    (folder / "prompt_learner" / "checkpoint").write_text("model.pth.tar-50\n")
    (folder / "log.txt").write_text("epoch 1\n")

    def scanned(path: Path) -> dict[str, Any]:
        command = [sys.executable, "-m", "inspector", "scan", str(path), "--json"]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
        return dict(json.loads(ran.stdout))

    with as_one_file(folder) as packed:
        there, sent = scanned(folder), scanned(packed)
    assert there.pop("artifact")["family"] == sent.pop("artifact")["family"] == "CoOp"
    assert there.pop("container").pop("outer") == "directory"
    assert sent.pop("container").pop("outer") == "zip"
    assert there == sent
