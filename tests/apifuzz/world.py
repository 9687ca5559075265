"""A running API on SQLite or PostgreSQL whose database holds something of every kind.

One real worker with the stand-in inspector does the seeding on SQLite and is then killed: nobody
must work on what the fuzzing asks for, as that would send webhooks to addresses made up by chance.
A world on PostgreSQL is a copy of the rows and of the stored files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
from sqlalchemy import delete, select

from app.db.base import Base
from app.db.migrate import upgrade
from app.db.session import Database
from app.inspections.lease import claim
from app.models import (
    Artifact,
    Dispatch,
    Inspection,
    PolicyVersion,
    Upload,
    WebhookDelivery,
    WebhookEndpoint,
)
from app.settings import Settings
from app.uploads.service import part_ranges
from tests.support.checkpoints import coop_state, save_dassl
from tests.support.processes import TERMINAL, Process, Service, stand_in_environment
from tests.support.receiver import Receiver
from tests.support.servers import answers, free_port, new_database, shared_servers, wait_for

Kind = Literal["sqlite", "postgres"]
PART_BYTES = 1024
TOKEN = "a-token-of-the-fuzzing"
_LONG_S = 3600
_ENDPOINTS = 3


@dataclass(frozen=True)
class Known:
    """What the database holds, so that generated requests can name it."""

    uploads: list[str]
    stored: list[str]
    """Those uploads that are complete."""
    parts: dict[tuple[str, str], int]
    """Length of each part of the open ones, by upload and number."""
    inspections: list[str]
    succeeded: list[str]
    """Those inspections that have a report."""
    endpoints: list[str]
    """Standing ones, which the fuzzing deletes."""
    deliveries: list[str]
    """To endpoints of single inspections, which are left, so that they can be sent again."""
    hashes: list[str]
    artifacts: list[str]
    policies: list[str]


@dataclass(frozen=True)
class World:
    """One API process; ``url`` has no trailing slash."""

    kind: Kind
    url: str
    known: Known
    log: Path


def seed(folder: Path) -> Path:
    """A data folder with a seeded SQLite database; nothing runs on it any more."""
    data_dir = folder / "seeded"
    environment = _environment(data_dir, None)
    _migrate(data_dir, None)
    with _api(environment, folder / "seeding.log") as url, Receiver() as receiver:
        service = _Customer(url)
        worker = Process(["worker"], environment, folder / "worker.log")
        try:
            _seed_ended(service, receiver.url, folder)
            service.submit_bytes({"seconds": _LONG_S})
            wait_for("a running inspection", lambda: service.has_one_that_is("running"))
        finally:
            worker.kill()
        _seed_waiting(service, data_dir)
    return data_dir


@contextmanager
def running(kind: Kind, seeded: Path, folder: Path) -> Iterator[World]:
    """A world of its own on a copy of what :func:`seed` made."""
    data_dir = folder / kind
    shutil.copytree(seeded, data_dir)
    url = None
    if kind == "postgres":
        url = new_database(shared_servers().postgres)
        _migrate(data_dir, url)
        _copy_rows(data_dir, url)
    log = folder / f"{kind}.log"
    with _api(_environment(data_dir, url), log) as address:
        yield World(kind, address, _known(data_dir, url), log)


def _environment(data_dir: Path, database_url: str | None) -> dict[str, str]:
    environment = stand_in_environment() | {
        "CLIPVET_DATA_DIR": str(data_dir),
        "CLIPVET_PART_BYTES": str(PART_BYTES),
        "CLIPVET_API_TOKEN": TOKEN,
        "CLIPVET_MAX_BODY_BYTES": "65536",
    }
    return environment | ({} if database_url is None else {"CLIPVET_DATABASE_URL": database_url})


def _settings(data_dir: Path, database_url: str | None) -> Settings:
    return Settings(data_dir=data_dir, database_url=database_url)


@contextmanager
def _database(data_dir: Path, url: str | None) -> Iterator[Database]:
    database = Database(_settings(data_dir, url).resolved_database_url)
    try:
        yield database
    finally:
        database.close()


def _migrate(data_dir: Path, url: str | None) -> None:
    with _database(data_dir, url) as database:
        upgrade(database)


@contextmanager
def _api(environment: dict[str, str], log: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = Process(["api", "--port", str(port)], os.environ | environment, log)
    try:
        wait_for("the API", lambda: answers(f"{url}/readyz"))
        yield url
    finally:
        process.kill()


class _Customer(Service):
    """Who fills the database, with the token that the API wants."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._client = httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
        )
        self.stored: list[str] = []

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self._client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        answer = self._client.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return dict(answer.json())

    def store(self, name: str, data: bytes) -> str:
        """A completed upload, for :meth:`submit_bytes`."""
        made = self.post("/v1/uploads", {"filename": name, "size": len(data)})
        for part in made["parts"]:
            piece = data[part["start_offset"] : part["end_offset"]]
            assert self._client.put(part["upload_url"], content=piece).status_code == 200
        self.post(f"/v1/uploads/{made['id']}/complete")
        self.stored.append(made["id"])
        return str(made["id"])

    def submit_bytes(self, orders: dict[str, Any], **wishes: Any) -> str:
        """An inspection of the last upload that was stored."""
        manifest = {"method": "auto", "classnames": ["cat", "dog", "fox"], "stand_in": orders}
        body = {"upload_id": self.stored[-1], "backbone": "pocket", "manifest": manifest}
        return str(self.post("/v1/inspections", body | wishes)["id"])

    def has_one_that_is(self, status: str) -> bool:
        return bool(self.get("/v1/inspections", status=status)["items"])


def _seed_ended(service: _Customer, receiver: str, folder: Path) -> None:
    checkpoint = save_dassl(folder / "model.pth.tar-1", coop_state())
    service.store(checkpoint.name, checkpoint.read_bytes())
    for number in range(_ENDPOINTS):
        service.post("/v1/webhook_endpoints", {"url": f"{receiver}/{number}"})
    for name in ("strict", "lenient", "strict"):
        service.post("/v1/policies", {"name": name})
    closed = f"http://127.0.0.1:{free_port()}/"
    ends = [
        service.submit_bytes({"verdict": "backdoored"}, repair=True, webhook={"url": receiver}),
        service.submit_bytes({"verdict": "clean"}, webhook={"url": closed}),
        service.submit_bytes(
            {"error": {"kind": "bug", "code": "inspection_failed", "message": "as told"}},
            webhook={"url": receiver},
        ),
        service.submit_bytes({"seconds": _LONG_S}, deadline_s=0.5),
    ]
    wait_for("the ends", lambda: all(service.inspection(one)["status"] in TERMINAL for one in ends))
    delivered = {"delivered", "pending"}
    wait_for(
        "deliveries",
        lambda: (
            delivered <= {d["status"] for d in service.get("/v1/deliveries", limit=200)["items"]}
        ),
    )


def _seed_waiting(service: _Customer, data_dir: Path) -> None:
    """What no worker has looked at: after the last one is gone."""
    canceled = service.submit_bytes({})
    service.post(f"/v1/inspections/{canceled}/cancel")
    taken = service.submit_bytes({})
    with _database(data_dir, None) as database:
        held = claim(database, "a worker that stands still", _LONG_S)
        assert held is not None and held.inspection_id == taken
    for _ in range(3):
        service.submit_bytes({})
    for size in (1, PART_BYTES, 3 * PART_BYTES + 5):
        service.post("/v1/uploads", {"filename": f"open-{size}", "size": size})
    found = {one["status"] for one in service.get("/v1/inspections")["items"]}
    missing = {"queued", "validating", "running", *TERMINAL} - found
    assert not missing, f"no seeded inspection is {missing}"


def _copy_rows(data_dir: Path, url: str) -> None:
    with (
        _database(data_dir, None) as ours,
        _database(data_dir, url) as theirs,
        ours.read() as source,
        theirs.begin() as sink,
    ):
        # Wake-ups for a broker stay behind: their ids come of a sequence that a copy does not advance.
        for table in Base.metadata.sorted_tables:
            if table.name == Dispatch.__tablename__:
                continue
            rows = [dict(row) for row in source.execute(select(table)).mappings()]
            # Migrations leave rows, too.
            sink.execute(delete(table))
            if rows:
                sink.execute(table.insert(), rows)


def _known(data_dir: Path, url: str | None) -> Known:
    with _database(data_dir, url) as database, database.read() as session:

        def column(of: Any) -> list[str]:
            return sorted({value for value in session.scalars(select(of)) if value})

        standing = sorted(
            session.scalars(
                select(WebhookEndpoint.id).where(WebhookEndpoint.inspection_id.is_(None))
            )
        )
        return Known(
            uploads=column(Upload.id),
            stored=sorted(session.scalars(select(Upload.id).where(Upload.status == "stored"))),
            parts={
                (upload.id, str(part.number)): part.end - part.start
                for upload in session.scalars(select(Upload).where(Upload.status == "open"))
                for part in part_ranges(upload.size, upload.part_bytes)
            },
            inspections=column(Inspection.id),
            succeeded=sorted(
                session.scalars(select(Inspection.id).where(Inspection.status == "succeeded"))
            ),
            endpoints=standing,
            deliveries=sorted(
                session.scalars(
                    select(WebhookDelivery.id).where(WebhookDelivery.endpoint_id.not_in(standing))
                )
            ),
            hashes=column(Upload.sha256),
            artifacts=column(Artifact.name),
            policies=column(PolicyVersion.name),
        )
