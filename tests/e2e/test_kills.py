"""kill -9 of every process during a job: afterwards there is exactly one verdict."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.kills import (
    kill_api,
    kill_everything,
    kill_inspection_child,
    kill_the_next_reader,
    kill_worker,
)
from tests.support.processes import Embedded, descendants, embedded, process_table
from tests.support.receiver import Receiver
from tests.support.servers import wait_for

ORDERS = {"seconds": 1.5, "verdict": "backdoored"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Embedded]:
    with embedded(tmp_path / "data") as running:
        yield running


@pytest.mark.parametrize("kill", [kill_inspection_child, kill_worker, kill_api, kill_everything])
def test_one_verdict_after_a_kill(
    service: Embedded, checkpoint: Path, kill: Callable[[Embedded], None]
) -> None:
    with Receiver() as receiver:
        hook = {"url": receiver.url, "events": ["inspection.completed"]}
        inspection = service.submit(checkpoint, ORDERS, webhook=hook)
        service.wait_for_stage(inspection, "inversion")
        kill(service)
        seen = service.ending(inspection)
        wait_for("the webhook", lambda: len(receiver.received) > 0)
    assert (seen["status"], seen["verdict"], seen["attempt"]) == ("succeeded", "backdoored", 2)
    assert service.statuses(inspection).count("succeeded") == 1
    assert len(service.get("/v1/deliveries", inspection_id=inspection)["items"]) == 1
    assert len({got.headers["webhook-id"] for got in receiver.received}) == 1
    verdict = service.get(f"/v1/inspections/{inspection}/verdict")
    assert verdict["verdict"] == "backdoored"
    files = service.get(f"/v1/inspections/{inspection}/artifacts")["items"]
    assert [item["name"] for item in files] == ["trigger-0-amplified.png", "trigger-0.png"]


def test_one_verdict_after_the_reader_is_killed(service: Embedded, checkpoint: Path) -> None:
    worker = service.worker_pid()
    inspection = service.submit(checkpoint, {"seconds": 0.1})
    kill_the_next_reader(worker)
    seen = service.ending(inspection)
    assert (seen["status"], seen["verdict"], seen["attempt"]) == ("succeeded", "clean", 2)
    events = service.get(f"/v1/inspections/{inspection}/events")["items"]
    assert any("reader_crashed" in event["message"] for event in events)
    assert service.statuses(inspection).count("succeeded") == 1


def test_nothing_is_left_behind(service: Embedded, checkpoint: Path, tmp_path: Path) -> None:
    inspection = service.submit(checkpoint, {"seconds": 30})
    service.wait_for_stage(inspection, "inversion")
    kill_worker(service)
    service.post(f"/v1/inspections/{inspection}/cancel")
    assert service.ending(inspection)["status"] == "canceled"
    scratch = tmp_path / "data" / "scratch"
    wait_for("tidiness", lambda: {path.name for path in scratch.iterdir()} <= {"child"}, 10)


def send_half(upload_url: str, data: bytes) -> socket.socket:
    """An upload that stops in the middle; the connection stays open."""
    url = httpx2.URL(upload_url)
    head = f"PUT {url.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    connection = socket.create_connection((url.host, url.port))
    connection.sendall(head.encode() + data[: len(data) // 2])
    return connection


def test_a_killed_upload_is_resumed(service: Embedded, checkpoint: Path, tmp_path: Path) -> None:
    data, spool = checkpoint.read_bytes(), tmp_path / "data" / "spool"
    made = service.post("/v1/uploads", {"filename": "m.pth", "size": len(data)})
    url = made["parts"][0]["upload_url"]
    with send_half(url, data):
        wait_for("the first half", lambda: spool.is_dir() and any(spool.iterdir()))
    wait_for("tidiness after the client's end", lambda: not any(spool.iterdir()))
    with send_half(url, data):
        wait_for("the first half", lambda: any(spool.iterdir()))
        service.process.kill()
    service.start_again()
    seen = service.get(f"/v1/uploads/{made['id']}")
    assert [part["received"] for part in seen["parts"]] == [False]
    assert not any(spool.iterdir())
    assert httpx2.put(url, content=data).status_code == 200
    assert service.post(f"/v1/uploads/{made['id']}/complete")["status"] == "stored"


def test_ctrl_c_stops_everything_and_the_job_goes_on_later(
    service: Embedded, checkpoint: Path
) -> None:
    inspection = service.submit(checkpoint, {"seconds": 2})
    service.wait_for_stage(inspection, "inversion")
    below = descendants(service.process.pid)
    begun = time.monotonic()
    service.process.stop()
    assert time.monotonic() - begun < 10
    assert not below.keys() & process_table().keys()
    service.start_again()
    seen = service.ending(inspection)
    assert (seen["status"], seen["verdict"]) == ("succeeded", "clean")


def test_the_command_line_waits_over_the_death_of_the_service(
    service: Embedded, checkpoint: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.json"
    orders = {"classnames": list("abcde"), "stand_in": {"seconds": 3, "verdict": "backdoored"}}
    manifest.write_text(json.dumps(orders))
    command = [sys.executable, "-m", "app", "submit", str(checkpoint), "--url", service.url]
    command += ["--backbone", "pocket", "--manifest", str(manifest), "--wait", "--timeout", "60"]
    waiting = subprocess.Popen([*command, "--format", "json"], stdout=subprocess.PIPE)

    def is_running() -> bool:
        items = service.get("/v1/inspections")["items"]
        return bool(items) and items[0]["stage"] == "inversion"

    wait_for("the inspection", is_running)
    service.process.kill()
    time.sleep(5)
    service.start_again()
    out, _ = waiting.communicate(timeout=90)
    assert waiting.returncode == 1
    assert json.loads(out)["verdict"] == "backdoored"
