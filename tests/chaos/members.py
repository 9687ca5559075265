"""The API and the workers of a run: each with its data folder, its clock and its links to the servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from app.settings import Settings
from tests.chaos import dispatcher
from tests.chaos.clocks import PRELOAD, Clock
from tests.chaos.proxy import Link
from tests.chaos.rooms import Room
from tests.chaos.servers import ACCESS_KEY, BUCKET, SECRET_KEY
from worker.assembly import owner_prefix

ROOT = Path(__file__).resolve().parents[2]
_GOOD_ORDER_S = 60


class Member:
    """One process of the service, started again by its world when it ends unasked."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        links: Mapping[str, Link],
        folder: Path,
        settings: Mapping[str, str],
    ) -> None:
        self.name = name
        self.links = links
        self.log = folder / f"{name}.log"
        self.room = Room(folder / name)
        self.clock = Clock(_made(folder / f"{name}-clock"))
        self.is_wanted = False
        self._arguments = arguments
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.RLock()

    @property
    def owner_prefix(self) -> str:
        """How leases of this worker begin."""
        return owner_prefix(Settings(data_dir=self.room.folder))

    @property
    def pid(self) -> int | None:
        """None while it is down."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        with self._guard:
            if self.pid is not None:
                return
            if self._process is not None:
                self.clock.forget(self._process.pid)
            with self.log.open("ab") as out:
                self._process = subprocess.Popen(
                    [*self.room.enter, sys.executable, "-m", "app", *self._arguments],
                    env=self.environment({to: link.port for to, link in self.links.items()})
                    | self.clock.environment,
                    stdout=out,
                    stderr=out,
                    cwd=ROOT,
                )
            self.is_wanted = True

    def start_if_it_ended(self) -> int | None:
        """The exit status of a process that ended by itself, and a new one in its place."""
        with self._guard:
            process = self._process
            if not self.is_wanted or process is None or process.poll() is None:
                return None
            self.start()
            return process.returncode

    def kill(self) -> None:
        """SIGKILL to the one process: whatever it started has to notice by itself."""
        with self._guard:
            self.is_wanted = False
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def stop(self) -> bool:
        """SIGTERM; False if it did not end in good order within a minute and was killed."""
        with self._guard:
            self.is_wanted = False
            if self._process is None:
                return True
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_GOOD_ORDER_S)
            except subprocess.TimeoutExpired:
                self.kill()
                return False
            return True

    def close(self) -> None:
        """End it and what it left on this machine."""
        self.kill()
        if self._process is not None:
            self.clock.forget(self._process.pid)
        self.room.close()

    def signal(self, number: signal.Signals) -> None:
        with self._guard:
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(number)

    def environment(self, ports: Mapping[str, int]) -> dict[str, str]:
        """Addresses, credentials, folders; everything else is the service's default."""
        own = {name: text for name, text in os.environ.items() if not name.startswith("CLIPVET_")}
        database, broker, store = (ports[to] for to in ("database", "broker", "store"))
        addresses = {
            "CLIPVET_DATA_DIR": str(self.room.folder),
            "CLIPVET_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{database}/postgres",
            "CLIPVET_BROKER_URL": f"redis://127.0.0.1:{broker}/0",
            "CLIPVET_STORE_URL": f"s3://{BUCKET}/clipvet",
            "CLIPVET_S3_ENDPOINT_URL": f"http://127.0.0.1:{store}",
            "CLIPVET_S3_ACCESS_KEY": ACCESS_KEY,
            "CLIPVET_S3_SECRET_KEY": SECRET_KEY,
            "CLIPVET_WEBHOOK_ALLOW_CIDRS": '["127.0.0.0/8"]',
            "CLIPVET_WEBHOOK_ALLOW_HTTP": "true",
            "CLIPVET_INSPECTOR_COMMAND": json.dumps(dispatcher.command()),
        }
        # The way into the room leaves the current folder behind.
        place = {"PYTHONPATH": f"{PRELOAD}{os.pathsep}{ROOT}", "PYTHONUNBUFFERED": "1"}
        return own | addresses | place | dict(self._settings)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
