"""API and workers as separate processes on a real Redis, PostgreSQL and S3 endpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.processes import Process, Service
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
        self.environment = environment
        self.workers: list[Process] = []
        run = [sys.executable, "-m", "app", "migrate"]
        subprocess.run(run, check=True, env=os.environ | environment)
        self.api = Process(["api", "--port", str(port)], environment, folder / "api.log")
        wait_for("the API", lambda: answers(f"{self.url}/readyz"))

    def add_worker(self) -> Process:
        number = len(self.workers)
        place = {"CLIPVET_DATA_DIR": str(self._folder / f"worker{number}")}
        log = self._folder / f"worker{number}.log"
        self.workers.append(Process(["worker"], self.environment | place, log))
        return self.workers[-1]

    def stop(self) -> None:
        for process in (*self.workers, self.api):
            process.kill()
        for log in sorted(self._folder.glob("*.log")):
            print(log.name, log.read_text()[-6000:], sep="\n")


def scaled_environment() -> dict[str, str]:
    """Settings of a scaled deployment on servers of this test run, with a database of its own."""
    servers = shared_servers()
    return S3_ENVIRONMENT | {
        "CLIPVET_BROKER_URL": servers.redis,
        "CLIPVET_DATABASE_URL": new_database(servers.postgres),
        "CLIPVET_STORE_URL": f"s3://{BUCKET}/prefix",
        "CLIPVET_S3_ENDPOINT_URL": servers.s3,
        "CLIPVET_LEASE_S": "3",
    }
