"""clipvet as real processes: started, looked into and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.support import stand_in_inspector
from tests.support.servers import answers, free_port, wait_for

TERMINAL = {"succeeded", "failed", "canceled", "expired"}


def stand_in_environment() -> dict[str, str]:
    """Quick loops and the stand-in inspection child."""
    command = [sys.executable, stand_in_inspector.__file__]
    return quick_environment() | {"CLIPVET_INSPECTOR_COMMAND": json.dumps(command)}


def quick_environment() -> dict[str, str]:
    """Quick loops around the real inspection child; webhooks to this machine are allowed."""
    return {
        "CLIPVET_POLL_S": "0.1",
        "CLIPVET_HOUSEKEEPING_S": "0.2",
        "CLIPVET_RETRY_DELAY_S": "0",
        "CLIPVET_WEBHOOK_ALLOW_CIDRS": '["127.0.0.0/8"]',
        "CLIPVET_WEBHOOK_ALLOW_HTTP": "true",
    }


class Process:
    """One of clipvet's processes; its output goes to a file."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app", *arguments],
                env=os.environ | environment,
                stdout=out,
                stderr=out,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ctrl-C; the exit status."""
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def process_table() -> dict[int, tuple[int, str]]:
    """pid → (parent, command line) of everything alive."""
    table = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            table[int(entry.name)] = (int(parent), command)
    return table


def descendants(pid: int) -> dict[int, str]:
    """Everything below a process, by pid, with its command line."""
    table, found, queue = process_table(), {}, [pid]
    while queue:
        above = queue.pop()
        for child, (parent, command) in table.items():
            if parent == above and child not in found:
                found[child] = command
                queue.append(child)
    return found


def find_below(pid: int, words: str) -> int | None:
    """A descendant whose command line contains ``words``."""
    return next((p for p, command in descendants(pid).items() if words in command), None)


class Service:
    """A client's view of a running service, with the waits that tests need."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = httpx2.get(self.url + path, params=query, timeout=90)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        answer = httpx2.post(self.url + path, json=body, timeout=90)
        assert answer.status_code < 300, answer.text
        return dict(answer.json())

    def upload(self, path: Path) -> dict[str, Any]:
        data = path.read_bytes()
        made = self.post("/v1/uploads", {"filename": path.name, "size": len(data)})
        for part in made["parts"]:
            piece = data[part["start_offset"] : part["end_offset"]]
            assert httpx2.put(part["upload_url"], content=piece).status_code == 200
        return self.post(f"/v1/uploads/{made['id']}/complete")

    def submit(self, artifact: Path, orders: dict[str, Any], **wishes: Any) -> str:
        manifest = {"method": "auto", "classnames": list("abcde"), "stand_in": orders}
        body = {"upload_id": self.upload(artifact)["id"], "backbone": "pocket"} | wishes
        return str(self.post("/v1/inspections", body | {"manifest": manifest})["id"])

    def inspection(self, inspection_id: str) -> dict[str, Any]:
        return self.get(f"/v1/inspections/{inspection_id}")

    def wait_until(self, inspection_id: str, *states: str) -> dict[str, Any]:
        wait_for(str(states), lambda: self.inspection(inspection_id)["status"] in states, 60)
        return self.inspection(inspection_id)

    def wait_for_stage(self, inspection_id: str, stage: str) -> None:
        wait_for(stage, lambda: self.inspection(inspection_id)["stage"] == stage, 60)

    def ending(self, inspection_id: str) -> dict[str, Any]:
        return self.wait_until(inspection_id, *TERMINAL)

    def statuses(self, inspection_id: str) -> list[str]:
        events = self.get(f"/v1/inspections/{inspection_id}/events", limit=1000)["items"]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        return [event["status"] for event in events]


class Embedded(Service):
    """``clipvet serve`` on one data folder, to be killed and started again."""

    def __init__(self, data_dir: Path, environment: dict[str, str]) -> None:
        self._port = free_port()
        super().__init__(f"http://127.0.0.1:{self._port}")
        self._data_dir = data_dir
        self._environment = environment
        self.log = data_dir.with_suffix(".log")
        self.process = self._spawn()

    def _spawn(self) -> Process:
        place = ["--port", str(self._port), "--data-dir", str(self._data_dir)]
        process = Process(["serve", *place], self._environment, self.log)
        wait_for("the API", lambda: answers(f"{self.url}/readyz"))
        return process

    def start_again(self) -> None:
        self.process = self._spawn()

    def worker_pid(self) -> int:
        wait_for("a worker", lambda: find_below(self.process.pid, "-m worker") is not None)
        found = find_below(self.process.pid, "-m worker")
        assert found is not None
        return found


@contextmanager
def embedded(data_dir: Path, environment: dict[str, str] | None = None) -> Iterator[Embedded]:
    """A running embedded service, the stand-in's unless told; on failure read its log first."""
    service = Embedded(data_dir, environment or stand_in_environment())
    try:
        yield service
    finally:
        service.process.stop()
        print(service.log.read_text()[-8000:])
