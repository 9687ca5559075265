"""Processes of the real inspection killed in the middle, embedded and scaled: right verdicts."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kills import kill_api, kill_inspection_child, kill_the_next_reader, kill_worker
from tests.support.processes import TERMINAL, Service, embedded, find_below, quick_environment
from tests.support.receiver import Receiver
from tests.support.scaled import Scaled, scaled_environment
from tests.support.servers import wait_for

SAMPLES = Path(__file__).parents[2] / "app" / "samples"
INSPECTION_S = 400
"""What one quick inspection may take on a busy machine."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scaled]:
    folder = tmp_path_factory.mktemp("real")
    environment = quick_environment() | scaled_environment() | {"CLIPVET_LEASE_S": "30"}
    running = Scaled(folder, environment | {"CLIPVET_DATA_DIR": str(folder / "api")})
    running.add_worker()
    yield running
    running.stop()


def submit(service: Service, kind: str, webhook: str) -> str:
    (artifact,) = (SAMPLES / kind).glob("model.pth.tar-*")
    body = {
        "upload_id": service.upload(artifact)["id"],
        "backbone": "pocket",
        "profile": "quick",
        "manifest": json.loads((SAMPLES / "manifest.json").read_text()),
        "probes": service.upload(SAMPLES / "pictures.zip")["id"],
        "in_distribution": True,
        "webhook": {"url": webhook, "events": ["inspection.completed"]},
    }
    return str(service.post("/v1/inspections", body)["id"])


def kill_the_child(service: Scaled) -> None:
    child = find_below(service.workers[-1].pid, "-m inspector job")
    assert child is not None
    os.kill(child, signal.SIGKILL)


def test_verdicts_of_the_real_child_survive_its_death(service: Scaled) -> None:
    target = json.loads((SAMPLES / "backdoored" / "truth.json").read_text())["target"]
    with Receiver() as receiver:
        backdoored = submit(service, "backdoored", receiver.url)
        wait_for(
            "the search", lambda: service.inspection(backdoored)["stage"] == "inversion",
            INSPECTION_S,
        )  # fmt: skip
        kill_the_child(service)
        clean = submit(service, "clean", receiver.url)
        for inspection in (backdoored, clean):
            wait_for(
                "its end",
                lambda one=inspection: service.inspection(one)["status"] in TERMINAL,  # type: ignore[misc]
                INSPECTION_S,
            )
        wait_for("both webhooks", lambda: len(receiver.received) >= 2)
    first, second = service.inspection(backdoored), service.inspection(clean)
    assert (first["status"], first["verdict"], first["attempt"]) == ("succeeded", "backdoored", 2)
    assert (second["status"], second["verdict"], second["attempt"]) == ("succeeded", "clean", 1)
    assert first["summary"]["target"]["index"] == target
    for inspection in (backdoored, clean):
        assert service.statuses(inspection).count("succeeded") == 1
    assert len({got.headers["webhook-id"] for got in receiver.received}) == 2


def wait_for_the_search(service: Service, inspection: str, attempt: int) -> None:
    def is_searching() -> bool:
        seen = service.inspection(inspection)
        return (seen["attempt"], seen["stage"]) == (attempt, "inversion")

    wait_for("the search", is_searching, INSPECTION_S)


def test_one_job_survives_the_death_of_every_process(tmp_path: Path) -> None:
    target = json.loads((SAMPLES / "backdoored" / "truth.json").read_text())["target"]
    environment = quick_environment() | {"CLIPVET_MAX_ATTEMPTS": "5"}
    with embedded(tmp_path / "data", environment) as service, Receiver() as receiver:
        worker = service.worker_pid()
        inspection = submit(service, "backdoored", receiver.url)
        kill_the_next_reader(worker)
        kills = (kill_inspection_child, kill_worker, kill_api)
        for attempt, kill in enumerate(kills, start=2):
            wait_for_the_search(service, inspection, attempt)
            kill(service)
        wait_for(
            "its end", lambda: service.inspection(inspection)["status"] in TERMINAL, INSPECTION_S
        )
        wait_for("the webhook", lambda: len(receiver.received) > 0)
        seen = service.inspection(inspection)
        assert (seen["status"], seen["verdict"], seen["attempt"]) == ("succeeded", "backdoored", 5)
        assert seen["summary"]["target"]["index"] == target
        assert service.statuses(inspection).count("succeeded") == 1
        assert len(service.get("/v1/deliveries", inspection_id=inspection)["items"]) == 1
        assert len({got.headers["webhook-id"] for got in receiver.received}) == 1
