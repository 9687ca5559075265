"""/readyz where disks are full and servers hang: real file systems, real sockets."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import ByteSize, SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.testclient import TestClient

from app.db.session import Database
from app.main import create_app
from app.settings import Settings
from tests.support.ledger import Ledger
from tests.support.servers import new_database, shared_servers

FILLED = """
    import json, os, sys
    from pathlib import Path
    from app.settings import Settings
    from tests.support.ledger import Ledger

    mount = Path(sys.argv[1])
    ledger = Ledger(Settings(data_dir=mount / "data"))
    def ready():
        answer = ledger.api.get("/readyz")
        print(json.dumps([answer.status_code, answer.json()["checks"]]), flush=True)
    ready()
    (mount / "filler").write_bytes(bytes(50 << 20))
    ready()
    (mount / "filler").unlink()
    ready()
    for number in range(100_000):
        try:
            (mount / f"empty{number}").touch()
        except OSError:
            break
    ready()
    for path in mount.glob("empty*"):
        path.unlink()
    ledger.context.database.engine.dispose()
    os.system(f"mount -o remount,ro {mount}")
    ready()
    os.system(f"umount -l {mount}")
    ready()
    (mount / "data" / "store" / "incoming").mkdir(parents=True)
    ready()
"""


def in_own_mounts(folder: Path, script: str) -> list[str]:
    """What a Python script prints that has a file system of 100 MiB and 2,000 inodes to itself."""
    mounted = f'mount -t tmpfs -o size=100m,nr_inodes=2000 none {folder} && exec "$@"'
    command = ["unshare", "-Urm", "sh", "-c", mounted, "sh", sys.executable, "-c"]
    try:
        subprocess.run([*command, ""], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine grants no mounts of one's own")
    ran = subprocess.run(
        [*command, textwrap.dedent(script), str(folder)], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_disks_are_looked_at(tmp_path: Path) -> None:
    answers = [json.loads(line) for line in in_own_mounts(tmp_path, FILLED)]
    empty, filled, emptied, many, read_only, gone, below = answers
    assert empty == emptied == [200, {"database": "ok", "store": "ok", "disk": "ok"}]
    assert filled[0] == 503
    assert filled[1]["store"] == "unavailable"
    for place in ("data", "spool", "store"):
        assert f"{place} has 49 MiB left, needed are 64" in filled[1]["disk"]
    assert (many[0], many[1]["disk"].count("has no inode left")) == (503, 3)
    assert (read_only[0], read_only[1]["disk"].count("is read-only")) == (503, 3)
    for unmounted in (gone, below):
        assert (unmounted[0], unmounted[1]["store"]) == (503, "unavailable")


@pytest.mark.parametrize("needed", [0, 2**60])
def test_the_space_that_is_needed_is_a_setting(tmp_path: Path, needed: int) -> None:
    ledger = Ledger(Settings(data_dir=tmp_path, min_free_bytes=ByteSize(needed)))
    assert ledger.api.get("/readyz").status_code == (503 if needed else 200)
    ledger.close()


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


def settings_with(what: str, port: int, folder: Path) -> Settings:
    if what == "database":
        return Settings(data_dir=folder, database_url=f"postgresql://u:p@127.0.0.1:{port}/x")
    return Settings(
        data_dir=folder,
        store_url="s3://bucket",
        s3_endpoint_url=f"http://127.0.0.1:{port}",
        s3_access_key=SecretStr("x"),
        s3_secret_key=SecretStr("x"),
    )


@pytest.mark.parametrize("what", ["database", "store"])
def test_what_hangs_is_told_in_time_and_by_few_threads(tmp_path: Path, what: str) -> None:
    before = threading.active_count()
    with black_hole() as port:
        api = TestClient(create_app(settings_with(what, port, tmp_path)))
        answers: list[tuple[float, int, str]] = []

        def ask() -> None:
            begun = time.monotonic()
            answer = api.get("/readyz")
            told = answer.json()["checks"][what]
            answers.append((time.monotonic() - begun, answer.status_code, told))

        askers = [threading.Thread(target=ask) for _ in range(10)]
        for asker in askers:
            asker.start()
        time.sleep(1)
        assert sum(thread.name.startswith("ready-") for thread in threading.enumerate()) <= 3
        for asker in askers:
            asker.join()
        for seconds, status, told in answers:
            assert seconds < 6
            assert (status, told in ("unavailable", "does not answer")) == (503, True)
    ends_at = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < ends_at:
        time.sleep(0.1)
    assert not any(thread.name.startswith("ready-") for thread in threading.enumerate())


class Line:
    """One connection to a server, which can be made to carry nothing, though it stays."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.is_dead = False
        threading.Thread(target=self._carry, daemon=True).start()

    def _carry(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server)
        with client, server:
            while True:
                for ready in select.select([client, server], [], [], 0.5)[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    if not self.is_dead:
                        (server if ready is client else client).sendall(data)


def test_a_glance_ends_though_the_line_is_dead() -> None:
    parts = urlsplit(new_database(shared_servers().postgres))
    folder = parts.query.partition("host=")[2].replace("%2F", "/")
    line = Line(f"{folder}/.s.PGSQL.5432")
    database = Database(f"postgresql+psycopg://postgres@127.0.0.1:{line.port}{parts.path}")
    begun = time.monotonic()
    with pytest.raises(DBAPIError), database.glance() as session:
        assert session.scalar(text("SELECT 1")) == 1
        line.is_dead = True
        session.scalar(text("SELECT 1"))
    assert time.monotonic() - begun < 5
    database.close()


def test_postgres_does_not_wait_for_ever() -> None:
    database = Database(
        Settings(database_url=new_database(shared_servers().postgres)).resolved_database_url
    )
    for _ in range(2):
        with database.read() as session:
            shown = [
                session.scalar(text(f"SHOW {name}"))
                for name in ("lock_timeout", "idle_in_transaction_session_timeout")
            ]
            assert shown == ["15s", "1min"]
            session.rollback()
    with database.glance() as session:
        assert session.scalar(text("SHOW statement_timeout")) == "3s"
    database.close()
