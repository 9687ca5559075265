"""The warm inspection child: one process, JSON lines both ways, replaced when in doubt.

The child keeps torch and the backbone loaded between jobs. It only ever opens canonical tensors.
It is started afresh after a crash, a kill, ``max_jobs`` jobs or a change of tenant. Killing means
the whole process group. Knows no rows. stdin carries one request per line; stdout its replies;
stderr is log text: it goes to the worker's own log and to no caller, as libraries name files there.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import worker.launch
from worker.faults import ChildFault

logger = logging.getLogger("clipvet.inspection")

_PASSED_ON = {
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONHASHSEED",
    "OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC", "OMP_SCHEDULE", "OMP_STACKSIZE",
    "OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY", "GOMP_SPINCOUNT",
    "KMP_AFFINITY", "KMP_BLOCKTIME", "KMP_HW_SUBSET", "MKL_NUM_THREADS", "MKL_DYNAMIC", "MKL_CBWR",
    "MKL_THREADING_LAYER", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_PATH",
    "CUDA_CACHE_PATH", "CUDA_CACHE_DISABLE", "CUDA_CACHE_MAXSIZE", "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING", "CUDA_MPS_PIPE_DIRECTORY", "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_TF32_OVERRIDE", "HF_HOME", "HF_HUB_CACHE",
    "HF_ASSETS_CACHE", "HF_XET_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS",
    "HF_HUB_DISABLE_XET", "TORCH_HOME", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
}  # fmt: skip
"""Whole names: a prefix would let the next library's secret pass, as ``HF_`` did ``HF_TOKEN``."""
_SET = {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
"""Else a token that lies in ``HF_HOME`` goes along with every download."""
_CREDENTIALS_IN_URL = re.compile(r"//[^/?#]*@")
_MAX_LINE = 1 << 20
_LOG_LINES = 40
_SHOWN = 2000


def scrubbed_environment() -> dict[str, str]:
    """What a child may see: no credentials, no database, none of our settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON and not _CREDENTIALS_IN_URL.search(value)
    } | _SET


def launched(command: Sequence[str], death_signal: signal.Signals) -> list[str]:
    """The command line that runs ``command`` so that it dies with this process."""
    launcher = [sys.executable, "-I", "-S", worker.launch.__file__]
    return [*launcher, str(int(death_signal)), str(os.getpid()), *command]


class InspectionChild:
    """One running child process."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            launched(command, signal.SIGKILL),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=scrubbed_environment(),
        )
        self._replies: queue.Queue[bytes | None] = queue.Queue(maxsize=1000)
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        assert self._process.stdout is not None and self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._pump, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._pump_log, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Also the id of its process group, which is what gets killed."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended; one that hangs is alive."""
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], silence_s: float) -> Iterator[dict[str, Any]]:
        """Send one request and yield its replies up to and including ``done`` or ``error``.

        Raises:
            ChildFault: it died, was silent for ``silence_s``, or wrote something else than JSON
                objects.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._crash() from None
        while True:
            try:
                line = self._replies.get(timeout=silence_s)
            except queue.Empty:
                raise ChildFault(
                    "inspection_hung", f"the inspection said nothing for {silence_s:.0f} s"
                ) from None
            if line is None:
                raise self._crash()
            reply = _parse(line)
            yield reply
            if reply["event"] in ("done", "error"):
                return

    def kill(self) -> None:
        """End the whole process group now. Safe to call twice and from another thread."""
        for pid in (-self.pid, self.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        self._process.wait()

    def _crash(self) -> ChildFault:
        self.kill()
        for reader in self._readers:
            reader.join(timeout=2)
        code = self._process.returncode
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        # Whose inspection it was may read the fault: what a process says at its end names files.
        logger.error("the inspection process ended (%s): %s", how, " | ".join(self._log)[-4000:])
        return ChildFault("inspection_crashed", f"the inspection process ended ({how})")

    def _pump(self, stream: IO[bytes]) -> None:
        while line := stream.readline(_MAX_LINE):
            self._replies.put(line)
        self._replies.put(None)

    def _pump_log(self, stream: IO[bytes]) -> None:
        while line := stream.readline(_MAX_LINE):
            text = line.decode(errors="replace").rstrip()
            self._log.append(text)
            logger.info("%s", text[:_SHOWN])


def _parse(line: bytes) -> dict[str, Any]:
    try:
        # NaN is no JSON and has no place in a row.
        reply = json.loads(line, parse_constant=lambda _name: None)
    except ValueError:
        reply = None
    if not isinstance(reply, dict) or not isinstance(reply.get("event"), str):
        logger.error("not a reply: %r", line[:_SHOWN])
        raise ChildFault("inspection_protocol", "the inspection process said something else")
    return reply


class ChildPool:
    """Keeps at most one child warm and decides when it must be a new one."""

    def __init__(self, command: Sequence[str], folder: Path, max_jobs: int) -> None:
        self._command = command
        self._folder = folder
        self._max_jobs = max_jobs
        self._child: InspectionChild | None = None
        self._tenant = ""
        self._jobs = 0
        self._lock = threading.Lock()

    def child_for(self, tenant: str) -> InspectionChild:
        """A living child that has seen no other tenant."""
        with self._lock:
            child = self._child
            if child and (
                not child.is_alive or self._jobs >= self._max_jobs or self._tenant != tenant
            ):
                child.kill()
                child = None
            if child is None:
                child = InspectionChild(self._command, self._folder)
                self._child, self._tenant, self._jobs = child, tenant, 0
            self._jobs += 1
            return child

    def drop(self) -> None:
        """Kill the child, if any; the next job gets a fresh one."""
        with self._lock:
            if self._child is not None:
                self._child.kill()
                self._child = None
