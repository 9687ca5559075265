"""API and workers as separate processes on Redis, PostgreSQL and S3: the same jobs, the same ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import redis
from standardwebhooks.webhooks import Webhook

from tests.support.processes import find_below, process_table, stand_in_environment
from tests.support.receiver import Receiver
from tests.support.scaled import Scaled, scaled_environment
from tests.support.servers import wait_for


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scaled]:
    folder = tmp_path_factory.mktemp("scaled")
    environment = stand_in_environment() | scaled_environment()
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


def verified(service: Scaled, here: str, artifact: Path, folder: Path) -> tuple[int, str, str]:
    """``clipvet verify`` on what the service gives out, in an environment that knows no service."""
    for name, path in {"keys": "/v1/signing_keys", "bundle": f"{here}/attestations.intoto.jsonl",
                       "report": f"{here}/report.json"}.items():  # fmt: skip
        answer = httpx2.get(service.url + path, timeout=60)
        assert answer.status_code == 200, answer.text
        (folder / name).write_bytes(answer.content)
    run = [sys.executable, "-m", "app", "verify", "bundle", str(artifact), "--keys", "keys"]
    run += ["--report", "report", "--max-age", "1"]
    done = subprocess.run(
        run, cwd=folder, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "CLIPVET_BROKER_URL": "none"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_verdict_is_signed_by_the_api_alone_and_verified_offline(
    service: Scaled, checkpoint: Path, tmp_path: Path
) -> None:
    inspection = service.submit(checkpoint, {"verdict": "backdoored"})
    service.ending(inspection)
    here = f"/v1/inspections/{inspection}"
    code, out, err = verified(service, here, checkpoint, tmp_path)
    assert (code, err) == (1, "")
    assert "backdoored" in out and inspection in out
    other = tmp_path / "other"
    other.write_bytes(checkpoint.read_bytes() + b"\0")
    code, out, err = verified(service, here, other, tmp_path)
    assert (code, out) == (1, "")
    assert "refused (other_file)" in err
    folder = Path(service.environment["CLIPVET_DATA_DIR"]).parent
    assert [path.parent.name for path in folder.glob("*/*.pem")] == ["api-keys"]


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
    service.wait_for_stage(inspection, "inversion")
    victim = service.workers[-1]
    child = find_below(victim.pid, "stand_in_inspector")
    service.add_worker()
    victim.kill()
    seen = service.ending(inspection)
    assert (seen["status"], seen["verdict"], seen["attempt"]) == ("succeeded", "backdoored", 2)
    assert service.statuses(inspection).count("succeeded") == 1
    assert child is not None
    # A zombie is none: whoever inherits a dead child reaps it when it comes to it.
    wait_for("the end of the child", lambda: child not in process_table())


def test_messages_that_are_none_end_no_worker(service: Scaled, checkpoint: Path) -> None:
    worker = service.workers[-1]
    broker = redis.Redis.from_url(service.environment["CLIPVET_BROKER_URL"])
    for _ in range(2):
        broker.lpush("inspect", b"no JSON at all", b"7", b'{"body": 1}')
        wait_for("an empty queue", lambda: broker.llen("inspect") == 0)
        # The consumer has begun anew when it takes messages again.
        inspection = service.submit(checkpoint, {})
        assert service.ending(inspection)["attempt"] == 1
    assert worker.pid in process_table()


def test_a_worker_told_to_stop_gives_its_job_back(service: Scaled, checkpoint: Path) -> None:
    inspection = service.submit(checkpoint, {"seconds": 2})
    service.wait_for_stage(inspection, "inversion")
    os.kill(service.workers[-1].pid, signal.SIGTERM)
    wait_for("the return", lambda: "queued" in service.statuses(inspection)[1:])
    service.add_worker()
    assert service.ending(inspection)["verdict"] == "clean"
