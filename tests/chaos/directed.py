"""Scenarios that are aimed, not drawn: what a service world needs for them, at the default settings."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.client import Patient
from tests.chaos.record import Record
from tests.chaos.world import World
from tests.support.checkpoints import coop_state, save_dassl
from tests.support.processes import TERMINAL

_WORKERS = 2
_LOOK_S = 0.2


class Scene:
    """A world with one client and one uploaded file, and the waits that scenarios need."""

    def __init__(self, world: World, artifact: Path) -> None:
        self.world = world
        self._client = Patient(world.url, world.record, time.monotonic() + 3600)
        digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
        self._upload = self._client.upload(artifact, digest)

    def submit(self, **orders: Any) -> str:
        """A stand-in that does as told."""
        manifest = {"method": "auto", "classnames": list("abcde"), "stand_in": orders}
        body = {"upload_id": self._upload, "backbone": "pocket", "manifest": manifest}
        answer = self._client.ask("POST", "/v1/inspections", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def inspections(self, ids: list[str]) -> list[dict[str, Any]]:
        query = "SELECT * FROM inspections WHERE id = ANY(%s) ORDER BY created_at"
        return self.world.rows(query, ids)

    def first_event(self, identifier: str, attempt: int) -> Any:
        """When that attempt began; None if it has not."""
        query = (
            "SELECT min(ts) AS ts FROM inspection_events WHERE inspection_id = %s AND attempt = %s"
        )
        return self.world.rows(query, identifier, attempt)[0]["ts"]

    def await_ends(self, ids: list[str], longest_s: float) -> float | None:
        """Seconds until all had ended; None if some have not by then."""
        begun = time.monotonic()
        while time.monotonic() - begun < longest_s:
            if all(row["status"] in TERMINAL for row in self.inspections(ids)):
                return time.monotonic() - begun
            time.sleep(_LOOK_S)
        return None


@contextmanager
def scene(folder: Path, record: Record) -> Iterator[Scene]:
    """Two workers, an API, all three servers; nothing softened."""
    artifact = save_dassl(folder / "model.pth.tar-1", coop_state())
    with World(folder, record, workers=_WORKERS, settings={}) as world:
        yield Scene(world, artifact)
