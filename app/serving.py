"""Running the service: the API alone, or API and worker together (the embedded service).

``serve`` keeps one ``python -m worker`` beside the API, starts it again when it dies, and ends it
with the API. The worker is a process of its own: the API never loads what inspects.
"""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from app import leftovers
from app.attestation.keyring import Keyring, KeyringError
from app.connections import LOOK_S, Doorkeeper, Limits
from app.db.base import utcnow
from app.db.migrate import upgrade
from app.db.session import Database
from app.main import create_app
from app.settings import Settings

logger = logging.getLogger("clipvet.serve")

_ANY = ("0.0.0.0", "::", "")
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_GRACE_S = 10.0
"""For what a worker does at its end besides letting webhook attempts finish."""
_BACKLOG = 100
_OWN_DESCRIPTORS = 512
"""Database, store and log, and what one accept takes off the queue before anybody counts it."""


class DataFolderInUse(Exception):
    """Another embedded service runs on this data folder."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(f"another clipvet serve is running on {data_dir}")


def migrate(settings: Settings) -> None:
    """Bring the database to the newest schema."""
    database = Database(settings.resolved_database_url)
    try:
        upgrade(database)
    finally:
        database.close()


def run_api(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    _warn_if_open(settings, host)
    leftovers.sweep(settings.spool_dir)
    _make_keys(settings)
    app = create_app(_with_public_url(settings, host, port))
    most = min(settings.max_connections, room_for_connections())
    door = Doorkeeper(Limits.of(settings, most))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=door.connection,  # type: ignore[arg-type]
        ws="none",
        log_level="info",
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=5,
    )
    _Server(config, door, app.state.context.closing).run()


def _make_keys(settings: Settings) -> None:
    """Have a key before the first verdict, and tell at once where there can be none."""
    try:
        key = Keyring(settings.signing_dir).active(utcnow())
    except KeyringError as error:
        logger.error("verdicts cannot be signed: %s", error)
    else:
        logger.info("verdicts are signed with key %s", key.keyid)


class _Server(uvicorn.Server):
    """uvicorn's server, with somebody at the door."""

    def __init__(self, config: uvicorn.Config, door: Doorkeeper, closing: threading.Event) -> None:
        super().__init__(config)
        self._door = door
        self._closing = closing

    async def on_tick(self, counter: int) -> bool:
        # uvicorn's tick is a tenth of a second.
        if counter % round(LOOK_S * 10) == 0:
            self._door.look(self.server_state.connections)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.set()
        await super().shutdown(sockets)


def room_for_connections() -> int:
    """How many the descriptors suffice for; opens as many to us as we may.

    Each connection may hold a file besides, which it sends or receives.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            logger.warning("the limit of %d open files cannot be raised", soft)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return max((soft - _OWN_DESCRIPTORS) // 2, soft // 8)


def _with_public_url(settings: Settings, host: str, port: int) -> Settings:
    """The settings, with the address that is listened on as the public one where none is set.

    Behind a wildcard nobody knows by which of its names the service is reached; links then begin
    with a slash.
    """
    if settings.public_url is not None or host in _ANY:
        return settings
    shown = f"[{host}]" if ":" in host else host
    return settings.model_copy(update={"public_url": f"http://{shown}:{port}"})


def run_embedded(settings: Settings, host: str, port: int) -> None:
    """API, worker, SQLite and a folder: one command, no other server."""
    with _alone(settings):
        migrate(settings)
        supervisor = WorkerSupervisor(settings)
        supervisor.start()
        try:
            run_api(settings, host, port)
        finally:
            supervisor.stop()


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One embedded service per data folder. Raises ``DataFolderInUse``."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "serve.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUse(settings.data_dir) from None
        yield


class WorkerSupervisor:
    """Keeps one worker process alive."""

    def __init__(self, settings: Settings) -> None:
        self._environment = os.environ | {"CLIPVET_DATA_DIR": str(settings.data_dir.absolute())}
        # SIGKILL any earlier would cut off a webhook attempt that is still within its time.
        self.grace_s = settings.webhook_timeout_s + _GRACE_S
        self._over = threading.Event()
        self._spawning = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="worker-supervisor", daemon=True)

    def start(self) -> None:
        """Start the worker, and watch it from a thread."""
        self._thread.start()

    def stop(self) -> None:
        """SIGTERM, so that the worker gives its job back; SIGKILL after a while."""
        with self._spawning:
            self._over.set()
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(self.grace_s)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join()

    def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while (process := self._next()) is not None:
            begun = time.monotonic()
            code = process.wait()
            if self._over.is_set():
                return
            if time.monotonic() - begun > _LONGEST_PAUSE_S:
                pause = _FIRST_PAUSE_S
            logger.warning("the worker ended (%d); starting another in %.1f s", code, pause)
            self._over.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _next(self) -> subprocess.Popen[bytes] | None:
        """A worker, as soon as the machine can start one; None once it is over."""
        while True:
            with self._spawning:
                if self._over.is_set():
                    return None
                try:
                    self._process = self._spawn()
                    return self._process
                except OSError as error:
                    logger.error("no worker can be started: %s", error)
            self._over.wait(_LONGEST_PAUSE_S)

    def _spawn(self) -> subprocess.Popen[bytes]:
        # The launcher asks the kernel to end the worker when we die without saying so.
        launcher = [sys.executable, "-m", "worker.launch", str(int(signal.SIGTERM))]
        command = [*launcher, str(os.getpid()), sys.executable, "-m", "worker"]
        return subprocess.Popen(command, env=self._environment)


def _warn_if_open(settings: Settings, host: str) -> None:
    if settings.api_token is None and host not in ("127.0.0.1", "::1", "localhost"):
        logger.warning("CLIPVET_API_TOKEN is not set: anybody who reaches %s may use it", host)
