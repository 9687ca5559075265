"""The real inspection child, killed in the middle, behind Redis, PostgreSQL and S3: right verdicts."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import TERMINAL, find_below, quick_environment
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


def submit(service: Scaled, kind: str, webhook: str) -> str:
    (artifact,) = (SAMPLES / kind).glob("model.pth.tar-*")
    body = {
        "upload_id": service.upload(artifact)["id"],
        "backbone": "pocket",
        "profile": "quick",
        "manifest": json.loads((SAMPLES / "manifest.json").read_text()),
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
