"""The receiver as one copied file: a real delivery, then the very file is let through, or blocked."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from standardwebhooks import Webhook

from app.client import Client, receiver
from tests.support.processes import Embedded
from tests.support.servers import wait_for

SECRET = receiver.new_secret()


class Standing:
    """The copied file, listening as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "copied.py"
        shutil.copy(receiver.__file__, self.script)
        self.keep = folder / "verdicts"
        environment = {"CLIPVET_WEBHOOK_SECRET": SECRET, "PATH": os.environ["PATH"]}
        # -I: nothing but Python's own library can be imported.
        self.command = [sys.executable, "-I", "-S", str(self.script)]
        listen = ["listen", "--keep", str(self.keep), "--port", "0"]
        self.process = subprocess.Popen(
            [*self.command, *listen], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        told = re.fullmatch(r"listening on (127\.0\.0\.1:\d+)\n", self.process.stdout.readline())
        assert told is not None
        self.url = f"http://{told[1]}/"

    def check(self, file: Path, *more: str) -> tuple[int, str]:
        command = [*self.command, "check", str(file), "--keep", str(self.keep), *more]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout + ended.stderr

    def has_heard(self, inspection_id: str, file: Path) -> bool:
        return inspection_id in self.check(file)[1]

    def post(self, body: bytes, secret: str = SECRET, at: datetime | None = None) -> int:
        """Signed by the specification's own library."""
        at = at or datetime.now(UTC)
        signature = Webhook(secret).sign("evt_1", at, body.decode())
        headers = {
            "webhook-id": "evt_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
        }
        return httpx2.post(self.url, content=body, headers=headers).status_code


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Standing]:
    made = Standing(tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


def event(sha256: str, **changes: Any) -> bytes:
    data = {"artifact_sha256": sha256, "status": "succeeded", "verdict": "clean", "result": "pass"}
    moment = changes.pop("timestamp", datetime.now(UTC).isoformat())
    kind = changes.pop("type", "inspection.completed")
    return json.dumps({"type": kind, "timestamp": moment, "data": data | changes}).encode()


def test_a_real_delivery_lets_this_very_file_through_or_blocks_it(
    standing: Standing, service: Embedded, checkpoint: Path, tmp_path: Path
) -> None:
    deployed = tmp_path / "deployed.pth"
    deployed.write_bytes(checkpoint.read_bytes())
    assert standing.check(deployed)[0] == 5
    for verdict, profile, code in (
        ("clean", "quick", 0),
        ("backdoored", "quick", 1),
        ("clean", "quick", 1),
        ("inconclusive", "standard", 1),
        ("clean", "standard", 0),
        ("inconclusive", "quick", 0),
        ("inconclusive", "standard", 1),
    ):
        with Client(service.url) as client:
            row = client.inspect(
                checkpoint,
                backbone="pocket",
                classes=list("abcde"),
                manifest={"stand_in": {"verdict": verdict}},
                profile=profile,
                webhook={"url": standing.url, "secret": SECRET},
            )
        wait_for("the delivery", partial(standing.has_heard, row["id"], deployed))
        ended, told = standing.check(deployed)
        assert ended == code
        assert told.startswith("let through: clean" if code == 0 else "blocked: ")
    deployed.write_bytes(checkpoint.read_bytes() + b"\0")
    ended, told = standing.check(deployed)
    assert (ended, "no verdict about" in told) == (5, True)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m"
    path.write_bytes(b"model")
    return path


def test_what_is_not_signed_by_the_service_is_refused(standing: Standing, model: Path) -> None:
    body = event(receiver.sha256_of(model))
    now = datetime.now(UTC)
    assert standing.post(body, receiver.new_secret()) == 401
    for minutes in (-6, 6):
        assert standing.post(body, at=now + timedelta(minutes=minutes)) == 401
    assert httpx2.post(standing.url, content=body).status_code == 401
    headers = {"webhook-id": "e", "webhook-timestamp": "now", "webhook-signature": "v1,"}
    assert httpx2.post(standing.url, content=body, headers=headers).status_code == 401
    raw = {name.encode(): value.encode() for name, value in headers.items()} | {
        b"webhook-timestamp": str(int(now.timestamp())).encode(),
        b"webhook-signature": "v1,ü v2,x".encode(),
    }
    assert httpx2.post(standing.url, content=body, headers=raw).status_code == 401
    assert standing.check(model)[0] == 5
    assert standing.post(body) == 204
    assert standing.check(model)[0] == 0


def test_a_verdict_against_the_file_stays_until_a_stronger_one_or_a_person_takes_it_back(
    standing: Standing, model: Path
) -> None:
    sha256, now = receiver.sha256_of(model), datetime.now(UTC)
    known = {"backbone_sha256": "b", "engine": "0.1.0", "profile": "quick"}
    bad = event(sha256, verdict="backdoored", result="fail", timestamp=now.isoformat(), **known)
    before = event(sha256, timestamp=(now - timedelta(hours=1)).isoformat(), **known)
    after = (now + timedelta(seconds=1)).isoformat()
    silent = event(sha256, timestamp=after)
    for body in (bad, before, bad, event(sha256, timestamp=after, **known), silent):
        assert standing.post(body) == 204
        code, told = standing.check(model)
        assert (code, told.startswith("blocked: the verdict is backdoored")) == (1, True)
    assert told.count("does not count: clean at ") == 3
    # However old it is.
    assert "backdoored" in standing.check(model, "--max-age-days", "0")[1]
    assert standing.post(event(sha256, timestamp=after, **known | {"profile": "thorough"})) == 204
    assert standing.check(model)[0] == 0
    late = now - timedelta(minutes=1)
    weak = event(sha256, verdict="backdoored", result="fail", timestamp=late.isoformat(), **known)
    for body, code in ((weak, 0), (weak.replace(b"quick", b"thorough"), 1)):
        assert standing.post(body) == 204
        assert standing.check(model)[0] == code
    (kept,) = standing.keep.glob("*.json")
    kept.unlink()
    assert standing.check(model)[0] == 5


def test_a_file_of_an_earlier_receiver_is_read(standing: Standing, model: Path) -> None:
    sha256 = receiver.sha256_of(model)
    standing.keep.mkdir()
    (standing.keep / f"{sha256}.json").write_bytes(event(sha256))
    assert standing.check(model)[0] == 0
    assert standing.post(event(sha256, verdict="inconclusive", result="fail")) == 204
    assert standing.check(model)[0] == 1


def test_a_file_that_runs_code_is_blocked_whatever_the_result(
    standing: Standing, model: Path
) -> None:
    code = {"critical_findings": ["pickle-code-execution"], "verdict": "inconclusive"}
    assert standing.post(event(receiver.sha256_of(model), **code)) == 204
    assert standing.check(model)[0] == 1


def test_only_a_verdict_lets_through(standing: Standing, model: Path) -> None:
    sha256 = receiver.sha256_of(model)
    odd = [
        event(sha256, type="inspection.failed", status="failed", verdict=None, result=None),
        event("../" + sha256),
        event(sha256[:-1]),
        event(sha256.upper()),
        json.dumps({"type": "inspection.completed", "data": {}}).encode(),
    ]
    assert [standing.post(body) for body in odd] == [204] * len(odd)
    assert standing.post(b"[]") == 400
    assert standing.post(b"{") == 400
    assert standing.check(model)[0] == 5
    assert not standing.keep.exists()
    assert standing.post(event(sha256, result="warn", verdict="suspicious")) == 204
    assert standing.check(model)[0] == 0


def test_a_verdict_may_be_too_old(standing: Standing, model: Path) -> None:
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    assert standing.post(event(receiver.sha256_of(model), timestamp=old)) == 204
    assert standing.check(model, "--max-age-days", "4")[0] == 0
    code, told = standing.check(model, "--max-age-days", "2")
    assert (code, "too old" in told) == (1, True)


def test_the_check_waits_as_long_as_told(standing: Standing, model: Path) -> None:
    began = time.monotonic()
    assert standing.check(model, "--wait", "0.6")[0] == 5
    assert time.monotonic() - began >= 0.6


def test_wrong_usage(standing: Standing, model: Path) -> None:
    assert standing.check(model.with_name("none"))[0] == 4
    assert standing.check(model, "--wait", "long")[0] == 4
    command = [*standing.command, "listen", "--keep", "x"]
    for secret in ("", " ", "plain", "whsec_", "whsec_%"):
        environment = {"CLIPVET_WEBHOOK_SECRET": secret}
        ended = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert ended.returncode == 4, secret


@pytest.mark.parametrize(
    ("length", "status"), [(str(1 << 30), 413), ("-1", 411), ("many", 411), (None, 411)]
)
def test_a_body_without_an_end_is_not_read(
    standing: Standing, length: str | None, status: int
) -> None:
    told = "" if length is None else f"Content-Length: {length}\r\n"
    host, port = standing.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{told}\r\n".encode())
        assert connection.recv(100).split()[1] == str(status).encode()
