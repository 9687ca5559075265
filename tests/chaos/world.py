"""Servers, members and links of one run, and what the harness itself sees of them past all faults."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import psycopg
import redis as redis_client
from botocore.config import Config
from psycopg.rows import dict_row

from tests.chaos import servers
from tests.chaos.members import ROOT, Member
from tests.chaos.proxy import Proxies
from tests.chaos.record import Record
from tests.chaos.sink import Sink
from tests.support.processes import descendants
from tests.support.servers import answers, free_port, wait_for

QUEUE = "inspect"
"""Celery's list in Redis."""
_LOOK_S = 0.5


class World:
    """Use as a context manager: everything is up when it is entered, and ended when it is left."""

    def __init__(
        self, folder: Path, record: Record, *, workers: int, settings: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.record = record
        self.hits: Counter[str] = Counter()
        """By inspection: attempts that faults of ours ended, which count for it by design."""
        self._settings = settings
        self._count = workers
        self._stack = contextlib.ExitStack()
        self._locks: dict[str, threading.Lock] = {}
        self._locks_guard = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _build(self) -> None:
        # Below /tmp and readable: as root the database runs as another user.
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sink = self._stack.enter_context(Sink(self.record))
        self.proxies = self._stack.enter_context(Proxies())
        self.database = servers.Postgres(self.folder)
        self.broker = servers.redis(self.folder)
        self.store = servers.s3(self.folder)
        self.servers = {one.name: one for one in (self.database, self.broker, self.store)}
        for server in self.servers.values():
            self._stack.callback(server.close)
            server.start()
        self._migrate()
        port = free_port()
        self.api = self._member("api", ["api", "--port", str(port)])
        self.workers = [self._member(f"worker{n}", ["worker"]) for n in range(self._count)]
        self.members = [self.api, *self.workers]
        self.entrance = self.proxies.link("client-api", port)
        self.url = f"http://127.0.0.1:{self.entrance.port}"
        for member in self.members:
            member.start()
        wait_for("the API", lambda: answers(f"{self.url}/readyz"), 60)
        keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        keeper.start()
        self._stack.callback(keeper.join)
        self._stack.callback(self._over.set)

    def _member(self, name: str, arguments: list[str]) -> Member:
        links = {
            to: self.proxies.link(f"{name}-{to}", server.port)
            for to, server in self.servers.items()
        }
        member = Member(name, arguments, links, self.folder, self._settings)
        self._stack.callback(member.close)
        return member

    def _migrate(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "app", "migrate"],
            env=os.environ | {"CLIPVET_DATABASE_URL": self.database.url},
            cwd=ROOT,
            check=True,
            capture_output=True,
        )

    def _keep(self) -> None:
        """As a supervisor does: what ends unasked is started again, and it is written down."""
        while not self._over.wait(_LOOK_S):
            for member in self.members:
                status = member.start_if_it_ended()
                if status is not None:
                    self.record.write("ended_by_itself", member=member.name, status=status)

    @contextlib.contextmanager
    def exclusive(self, *names: str) -> Iterator[bool]:
        """Two faults at one time never have the same target; False if another holds one of them."""
        with self._locks_guard:
            locks = [self._locks.setdefault(name, threading.Lock()) for name in sorted(names)]
        with contextlib.ExitStack() as stack:
            for lock in locks:
                if not lock.acquire(blocking=False):
                    yield False
                    return
                stack.callback(lock.release)
            yield True

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Past the links. Raises ``psycopg.OperationalError`` while the server itself is down."""
        with psycopg.connect(
            self.database.url, connect_timeout=5, row_factory=dict_row, autocommit=True
        ) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def held_by(self, member: Member) -> list[str]:
        """Inspections that this worker works on. Raises as ``rows`` does."""
        query = "SELECT id FROM inspections WHERE starts_with(lease_owner, %s)"
        return [row["id"] for row in self.rows(query, member.owner_prefix)]

    def queue(self) -> redis_client.Redis:
        """The broker, past the links."""
        return redis_client.Redis(port=self.broker.port, socket_timeout=5, socket_connect_timeout=5)

    def environment(self) -> dict[str, str]:
        """For a command of an operator: past the links, on no clock but the machine's."""
        return self.api.environment({name: one.port for name, one in self.servers.items()})

    def pids(self) -> set[int]:
        """Servers and what holds rooms, with all below them."""
        tops = [server.pid for server in self.servers.values()]
        tops += [member.room.pid for member in self.members]
        known = [pid for pid in tops if pid is not None]
        return {*known, *(below for pid in known for below in descendants(pid))}

    def bucket(self) -> Any:
        """An S3 client, past the links."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.store.port}",
            region_name="us-east-1",
            aws_access_key_id=servers.ACCESS_KEY,
            aws_secret_access_key=servers.SECRET_KEY,
            config=Config(
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path"},
            ),
        )
