"""``Idempotency-Key`` on both databases: one transaction with the work, whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, update

from app.db.base import utcnow
from app.db.session import Database
from app.models import IdempotencyKey, Upload
from app.settings import Settings
from tests.support.ledger import Ledger, settings_in
from tests.support.servers import answers, free_port, new_database, shared_servers, wait_for

BODY = {"filename": "m", "size": 5}
ONCE = {"Idempotency-Key": "once"}


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = None if request.param == "sqlite" else new_database(shared_servers().postgres)
    return settings_in(tmp_path / "data", database_url=url)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    made = Ledger(settings)
    yield made
    made.close()


def uploads(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Upload)) or 0


@contextmanager
def dying_api(settings: Settings, port: int, marker: Path) -> Iterator[int]:
    environment = os.environ | {
        "CLIPVET_DATA_DIR": str(settings.data_dir),
        "CLIPVET_DATABASE_URL": settings.resolved_database_url,
    }
    command = [sys.executable, "-m", "tests.support.dying_api", str(port), str(marker)]
    process = subprocess.Popen(command, env=environment)
    try:
        wait_for("the API", lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_a_request_that_was_killed_at_work_is_answered_at_once(
    ledger: Ledger, settings: Settings, tmp_path: Path
) -> None:
    port, marker = free_port(), tmp_path / "at work"
    url = f"http://127.0.0.1:{port}/v1/uploads"

    def ask() -> None:
        with pytest.raises(httpx2.TransportError):
            httpx2.post(url, json=BODY, headers=ONCE, timeout=60)

    with dying_api(settings, port, marker) as pid:
        first = threading.Thread(target=ask)
        first.start()
        wait_for("the work", marker.exists)
        if not ledger.context.database.is_sqlite:
            begun = time.monotonic()
            second = ledger.api.post("/v1/uploads", json=BODY, headers=ONCE)
            assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_flight")
            assert time.monotonic() - begun < 5
        os.kill(pid, signal.SIGKILL)
        first.join()
    with dying_api(settings, port, marker):
        begun = time.monotonic()
        answer = httpx2.post(url, json=BODY, headers=ONCE, timeout=60)
        assert answer.status_code == 201
        assert time.monotonic() - begun < 5
        again = httpx2.post(url, json=BODY, headers=ONCE, timeout=60)
        assert (again.status_code, again.json()) == (201, answer.json())
        assert again.headers["Idempotent-Replayed"] == "true"
    assert uploads(ledger.context.database) == 1


def test_many_requests_at_a_time_do_the_work_once(ledger: Ledger) -> None:
    seen: list[Any] = []

    def ask() -> None:
        seen.append(ledger.api.post("/v1/uploads", json=BODY, headers=ONCE))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    allowed = {201} if ledger.context.database.is_sqlite else {201, 409}
    assert {answer.status_code for answer in seen} <= allowed
    done = [answer.json()["id"] for answer in seen if answer.status_code == 201]
    refused = [answer.json()["code"] for answer in seen if answer.status_code == 409]
    assert len(set(done)) == 1
    assert set(refused) <= {"idempotency_in_flight"}
    assert uploads(ledger.context.database) == 1


def test_a_key_is_kept_for_its_time_and_then_free(ledger: Ledger) -> None:
    first = ledger.api.post("/v1/uploads", json=BODY, headers=ONCE).json()
    other = ledger.api.post("/v1/uploads", json=BODY | {"size": 6}, headers=ONCE)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    with ledger.context.database.begin() as session:
        session.execute(update(IdempotencyKey).values(created_at=utcnow() - timedelta(hours=23)))
    assert ledger.api.post("/v1/uploads", json=BODY, headers=ONCE).json() == first
    with ledger.context.database.begin() as session:
        session.execute(update(IdempotencyKey).values(created_at=utcnow() - timedelta(hours=25)))
    later = ledger.api.post("/v1/uploads", json=BODY | {"size": 6}, headers=ONCE)
    assert later.status_code == 201
    assert later.json()["id"] != first["id"]


def test_a_failed_request_leaves_no_key(ledger: Ledger) -> None:
    too_large = BODY | {"size": 2**62}
    for _ in range(2):
        answer = ledger.api.post("/v1/uploads", json=too_large, headers=ONCE)
        assert answer.status_code == 413
    assert ledger.api.post("/v1/uploads", json=BODY, headers=ONCE).status_code == 201
