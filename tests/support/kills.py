"""SIGKILL for each process of an embedded service, and the wait for what must follow at once."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.support.processes import Embedded, descendants, find_below, process_table
from tests.support.servers import wait_for


def inspection_child(service: Embedded) -> int:
    """The running inspection, real or stand-in."""
    worker = service.worker_pid()
    found = find_below(worker, "-m inspector job") or find_below(worker, "stand_in_inspector")
    assert found is not None
    return found


def kill_inspection_child(service: Embedded) -> None:
    os.kill(inspection_child(service), signal.SIGKILL)


def kill_worker(service: Embedded) -> None:
    child = inspection_child(service)
    os.kill(service.worker_pid(), signal.SIGKILL)
    wait_for("the orphan's end", lambda: child not in process_table(), 5)


def kill_api(service: Embedded) -> None:
    below = descendants(service.process.pid)
    service.process.kill()
    wait_for("the worker's own end", lambda: not below.keys() & process_table().keys(), 10)
    service.start_again()


def kill_everything(service: Embedded) -> None:
    for pid in [*descendants(service.process.pid), service.process.pid]:
        os.kill(pid, signal.SIGKILL)
    service.process.kill()
    service.start_again()


def kill_the_next_reader(worker: int) -> None:
    """The reader lives for a fraction of a second: watch closely."""
    ends_at = time.monotonic() + 20
    while time.monotonic() < ends_at:
        for children in Path(f"/proc/{worker}/task").glob("*/children"):
            for pid in children.read_text().split():
                try:
                    command = Path(f"/proc/{pid}/cmdline").read_bytes()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if b"inspector.checkpoint" in command:
                    os.kill(int(pid), signal.SIGKILL)
                    return
    raise AssertionError("no reader was seen")
