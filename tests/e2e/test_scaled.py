"""API and workers as separate processes on Redis, PostgreSQL and S3: the same jobs, the same ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from tests.support.processes import Process, Service, find_below, stand_in_environment
from tests.support.receiver import Receiver
from tests.support.servers import (
    BUCKET,
    S3_ENVIRONMENT,
    answers,
    free_port,
    new_database,
    shared_servers,
    wait_for,
)


class Scaled(Service):
    """One API and any number of workers."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        port = free_port()
        super().__init__(f"http://127.0.0.1:{port}")
        self._folder = folder
        self._environment = environment
        self.workers: list[Process] = []
        run = [sys.executable, "-m", "app", "migrate"]
        subprocess.run(run, check=True, env=os.environ | environment)
        self.api = Process(["api", "--port", str(port)], environment, folder / "api.log")
        wait_for("the API", lambda: answers(f"{self.url}/readyz"))

    def add_worker(self) -> Process:
        number = len(self.workers)
        place = {"CLIPVET_DATA_DIR": str(self._folder / f"worker{number}")}
        log = self._folder / f"worker{number}.log"
        self.workers.append(Process(["worker"], self._environment | place, log))
        return self.workers[-1]

    def stop(self) -> None:
        for process in (*self.workers, self.api):
            process.kill()
        for log in sorted(self._folder.glob("*.log")):
            print(log.name, log.read_text()[-6000:], sep="\n")


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    servers = shared_servers()
    return (
        stand_in_environment()
        | S3_ENVIRONMENT
        | {
            "CLIPVET_BROKER_URL": servers.redis,
            "CLIPVET_DATABASE_URL": new_database(servers.postgres),
            "CLIPVET_STORE_URL": f"s3://{BUCKET}/prefix",
            "CLIPVET_S3_ENDPOINT_URL": servers.s3,
            "CLIPVET_LEASE_S": "3",
        }
    )


@pytest.fixture(scope="module")
def service(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scaled]:
    folder = tmp_path_factory.mktemp("scaled")
    running = Scaled(folder, environment | {"CLIPVET_DATA_DIR": str(folder / "api")})
    running.add_worker()
    yield running
    running.stop()


def test_the_command_line_gets_its_verdict(
    service: Scaled, checkpoint: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(
        json.dumps({"classnames": list("abcde"), "stand_in": {"verdict": "backdoored"}})
    )
    run = [sys.executable, "-m", "app", "submit", str(checkpoint), "--url", service.url]
    run += ["--backbone", "pocket", "--manifest", str(manifest), "--repair", "--wait"]
    out = subprocess.run(
        [*run, "--timeout", "60", "--format", "json"], capture_output=True, text=True, check=False
    )
    assert out.returncode == 1, out.stderr
    row = json.loads(out.stdout)
    assert (row["verdict"], row["result"]) == ("backdoored", "fail")
    files = service.get(f"/v1/inspections/{row['id']}/artifacts")["items"]
    assert "repaired" in {item["name"] for item in files}


def test_the_webhook_arrives_signed_and_once(service: Scaled, checkpoint: Path) -> None:
    with Receiver() as receiver:
        made = service.post("/v1/webhook_endpoints", {"url": receiver.url})
        inspection = service.submit(checkpoint, {})
        service.ending(inspection)
        wait_for("the webhook", lambda: len(receiver.received) > 0)
    (got,) = receiver.received
    payload = Webhook(made["secret"]).verify(got.body, got.headers)
    assert payload["type"] == "inspection.completed"
    assert payload["data"]["inspection_id"] == inspection
    assert payload["data"]["verdict"] == "clean"


def test_many_jobs_end_once_each(service: Scaled, checkpoint: Path) -> None:
    upload = service.upload(checkpoint)["id"]
    body = {"upload_id": upload, "backbone": "pocket", "classes": list("abcde")}
    ids = [service.post("/v1/inspections", body | {"seed": n})["id"] for n in range(6)]
    for inspection in ids:
        assert service.ending(inspection)["attempt"] == 1
        assert service.statuses(inspection).count("succeeded") == 1


def test_another_worker_takes_over_from_a_killed_one(service: Scaled, checkpoint: Path) -> None:
    inspection = service.submit(checkpoint, {"seconds": 2, "verdict": "backdoored"})
    service.wait_for_stage(inspection, "invert")
    victim = service.workers[-1]
    child = find_below(victim.pid, "stand_in_inspector")
    service.add_worker()
    victim.kill()
    seen = service.ending(inspection)
    assert (seen["status"], seen["verdict"], seen["attempt"]) == ("succeeded", "backdoored", 2)
    assert service.statuses(inspection).count("succeeded") == 1
    assert child is not None
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_worker_told_to_stop_gives_its_job_back(service: Scaled, checkpoint: Path) -> None:
    inspection = service.submit(checkpoint, {"seconds": 2})
    service.wait_for_stage(inspection, "invert")
    os.kill(service.workers[-1].pid, signal.SIGTERM)
    wait_for("the return", lambda: "queued" in service.statuses(inspection)[1:])
    service.add_worker()
    assert service.ending(inspection)["verdict"] == "clean"
