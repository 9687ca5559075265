"""One wake-up deleted under load, and a retry that is due: both begin in time."""

from __future__ import annotations

import base64
import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from tests.chaos.directed import Scene, scene
from tests.chaos.findings import Finding
from tests.chaos.record import Record
from tests.chaos.world import QUEUE

_VICTIM_S, _RETRY_S = 15.0, 2.0
_JOB_S = 1.0
_WAITING = 2
"""Younger jobs that wait at any time: both workers are always at work, and the queue does not grow."""
_CATCH_S = 6.0
_TRIES_EACH = 4
_LONGEST_S = 120.0


def wakeups(folder: Path, record: Record, *, times: int) -> Iterator[Finding]:
    """``times`` wake-ups are deleted, and as many retries awaited."""
    with scene(folder, record) as here:
        yield _retries(here, folder, times)
        yield from _deleted(here, times)


def _deleted(here: Scene, times: int) -> Iterator[Finding]:
    waits = []
    with _load(here) as others:
        for _ in range(times * _TRIES_EACH):
            wait_s = _delete_one(here)
            if wait_s is not None:
                waits.append(wait_s)
            if len(waits) == times:
                break
    here.await_ends(others, _LONGEST_S)
    late = [wait_s for wait_s in waits if wait_s > _VICTIM_S]
    shown = ", ".join(f"{wait_s:.1f}" for wait_s in waits)
    name = f"seconds until jobs began whose wake-up was deleted under load, at most {_VICTIM_S:.0f}"
    yield Finding(name, shown, len(waits) == times and not late)
    rows = here.inspections(others)
    usual = [
        (row["started_at"] - row["created_at"]).total_seconds() for row in rows if row["started_at"]
    ]
    yield Finding("seconds that the others waited, median", f"{statistics.median(usual):.1f}", None)


@contextmanager
def _load(here: Scene) -> Iterator[list[str]]:
    ids: list[str] = []
    over = threading.Event()

    def submit() -> None:
        while not over.wait(0.25):
            if sum(row["status"] == "queued" for row in here.inspections(ids)) < _WAITING:
                ids.append(here.submit(seconds=_JOB_S))

    thread = threading.Thread(target=submit, name="load")
    thread.start()
    try:
        yield ids
    finally:
        over.set()
        thread.join()


def _delete_one(here: Scene) -> float | None:
    """Seconds from the deletion to the beginning of its job; None if it was taken before."""
    victim = here.submit(seconds=_JOB_S)
    if not _delete(here, victim):
        here.await_ends([victim], _LONGEST_S)
        return None
    begun = time.monotonic()
    while time.monotonic() - begun < _LONGEST_S:
        if here.first_event(victim, 1) is not None:
            break
        time.sleep(0.1)
    wait_s = time.monotonic() - begun
    here.world.record.write("phase", name="a wake-up was deleted", id=victim, wait_s=wait_s)
    here.await_ends([victim], _LONGEST_S)
    return wait_s


def _delete(here: Scene, identifier: str) -> bool:
    queue = here.world.queue()
    ends_at = time.monotonic() + _CATCH_S
    while time.monotonic() < ends_at and here.first_event(identifier, 1) is None:
        listed = queue.lrange(QUEUE, 0, -1)
        assert isinstance(listed, list)
        for message in listed:
            body = base64.b64decode(json.loads(message)["body"])
            if identifier.encode() in body and queue.lrem(QUEUE, 0, cast(str, message)):
                return here.first_event(identifier, 1) is None
        time.sleep(0.05)
    return False


def _retries(here: Scene, folder: Path, times: int) -> Finding:
    lags = []
    for number in range(times):
        marker = str(folder / f"attempts-{number}")
        identifier = here.submit(seconds=0.1, crash_until_attempt=2, marker=marker)
        lags.append(_lag_of_retry(here, identifier))
        here.await_ends([identifier], _LONGEST_S)
    shown = ", ".join("never" if lag is None else f"{lag:.1f}" for lag in lags)
    in_time = all(lag is not None and lag <= _RETRY_S for lag in lags)
    return Finding(
        f"seconds from when a retry was due to its beginning, at most {_RETRY_S:.0f}",
        shown,
        in_time,
    )


def _lag_of_retry(here: Scene, identifier: str) -> float | None:
    due = None
    ends_at = time.monotonic() + _LONGEST_S
    while time.monotonic() < ends_at:
        row = here.inspections([identifier])[0]
        due = row["not_before"] or due
        begun = here.first_event(identifier, 2) if due is not None else None
        if begun is not None and row["attempt"] == 2:
            return float((begun - due).total_seconds())
        time.sleep(0.1)
    return None
