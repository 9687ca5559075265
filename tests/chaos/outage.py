"""Store and database, each cut off from everybody while jobs wait: all of them succeed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.directed import Scene, scene
from tests.chaos.findings import Finding, none_of
from tests.chaos.record import Record

_JOB_S = 1.0
_LONGEST_S = 300.0


def outage(folder: Path, record: Record, *, seconds: float, jobs: int) -> Iterator[Finding]:
    """One outage of each after the other."""
    with scene(folder, record) as here:
        for server in ("store", "database"):
            yield from _without(here, server, seconds, jobs)


def _without(here: Scene, server: str, seconds: float, jobs: int) -> Iterator[Finding]:
    ids = [here.submit(seconds=_JOB_S) for _ in range(jobs)]
    links = [member.links[server] for member in here.world.members]
    for link in links:
        link.cut()
    waiting = _waiting(here, ids)
    here.world.record.write("phase", name=f"{server} is cut", waiting=waiting)
    time.sleep(seconds)
    for link in links:
        link.heal()
    here.world.record.write("phase", name=f"{server} is back", waiting=_waiting(here, ids))
    took_s = here.await_ends(ids, _LONGEST_S)
    rows = here.inspections(ids)
    name = f"{server} cut for {seconds:.0f} s while {waiting} of {jobs} jobs wait"
    wrong = [row for row in rows if row["status"] != "succeeded"]
    yield none_of(
        f"{name}: jobs that did not succeed",
        [f"{row['id']} {row['status']} {row['error_code']}" for row in wrong],
        jobs,
    )
    took = "not at all" if took_s is None else f"{took_s:.0f}"
    yield Finding(f"{name}: seconds from its return to the last end", took, took_s is not None)
    claims = Counter(row["attempt"] for row in rows)
    shown = ", ".join(f"{count} in {attempt}" for attempt, count in sorted(claims.items()))
    yield Finding(f"{name}: claims that they took", shown, None)


def _waiting(here: Scene, ids: list[str]) -> int:
    return sum(row["status"] not in ("succeeded", "failed") for row in here.inspections(ids))
