"""Processes that die, are told to end, or stand still.

What ends an attempt from within (its child, its reader, its worker) counts as one of the three that a job
has, by design. So no inspection is hit in that way more than twice, and who is hit is written down.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg

from tests.chaos.faults import Missed
from tests.chaos.members import Member
from tests.chaos.servers import Server
from tests.chaos.world import World

_MOST_HITS = 2
_PATIENCE_S = 10.0
_LOOK_S = 0.02


@contextmanager
def kill_api(world: World, _chance: Random) -> Iterator[str]:
    with _alone(world, "api"):
        world.api.kill()
        yield "SIGKILL"
        world.api.start()


@contextmanager
def stop_api(world: World, _chance: Random) -> Iterator[str]:
    with _alone(world, "api"):
        in_order = world.api.stop()
        yield "SIGTERM" if in_order else "SIGTERM, then SIGKILL after a minute"
        world.api.start()


@contextmanager
def kill_worker(world: World, chance: Random) -> Iterator[str]:
    with _some_worker(world, chance) as worker:
        with _ends_attempts(world, worker) as hit:
            worker.kill()
        yield f"{worker.name} {' '.join(hit)}"
        worker.start()


@contextmanager
def stop_worker(world: World, chance: Random) -> Iterator[str]:
    with _some_worker(world, chance) as worker:
        in_order = worker.stop()
        yield f"{worker.name} {'' if in_order else 'not in good order'}"
        worker.start()


@contextmanager
def zombie_worker(world: World, chance: Random) -> Iterator[str]:
    """It stands still until somebody else has its job, and then goes on as if nothing had been."""
    with _alone(world, "zombie"), _some_worker(world, chance) as worker:
        with _ends_attempts(world, worker) as hit:
            worker.signal(signal.SIGSTOP)
        yield f"{worker.name} {' '.join(hit)}"
        worker.signal(signal.SIGCONT)


@contextmanager
def frozen_member(world: World, chance: Random) -> Iterator[str]:
    """Shorter than a lease."""
    member = chance.choice(world.members)
    with _alone(world, member.name):
        member.signal(signal.SIGSTOP)
        yield member.name
        member.signal(signal.SIGCONT)


@contextmanager
def kill_child(world: World, chance: Random) -> Iterator[str]:
    yield _kill_below(world, chance, b"tests.chaos.dispatcher")


@contextmanager
def kill_reader(world: World, chance: Random) -> Iterator[str]:
    yield _kill_below(world, chance, b"inspector.checkpoint")


@contextmanager
def kill_database(world: World, chance: Random) -> Iterator[str]:
    number = chance.choice([signal.SIGQUIT, signal.SIGKILL])
    with _down(world, world.database, number):
        yield number.name


@contextmanager
def kill_broker(world: World, _chance: Random) -> Iterator[str]:
    with _down(world, world.broker, signal.SIGKILL):
        yield "SIGKILL"


@contextmanager
def kill_store(world: World, _chance: Random) -> Iterator[str]:
    with _down(world, world.store, signal.SIGKILL):
        yield "SIGKILL"


@contextmanager
def frozen_server(world: World, chance: Random) -> Iterator[str]:
    server = chance.choice(list(world.servers.values()))
    with _alone(world, server.name):
        server.pause()
        yield server.name
        server.go_on()


@contextmanager
def restart_all(world: World, chance: Random) -> Iterator[str]:
    """All servers go in one order and come back in another, with pauses."""
    going = list(world.servers.values())
    chance.shuffle(going)
    with _alone(world, *world.servers):
        for server in going:
            server.kill()
            time.sleep(chance.uniform(0, 1))
        coming = chance.sample(going, len(going))
        yield f"{'-'.join(one.name for one in going)}, {'-'.join(one.name for one in coming)}"
        for server in coming:
            server.start()
            time.sleep(chance.uniform(0, 1))


@contextmanager
def _alone(world: World, *names: str) -> Iterator[None]:
    with world.exclusive(*names) as mine:
        if not mine:
            raise Missed("another fault is at it")
        yield


@contextmanager
def _down(world: World, server: Server, number: signal.Signals) -> Iterator[None]:
    with _alone(world, server.name):
        server.kill(number)
        yield
        server.start()


@contextmanager
def _some_worker(world: World, chance: Random) -> Iterator[Member]:
    worker = chance.choice(world.workers)
    with _alone(world, worker.name):
        yield worker


@contextmanager
def _ends_attempts(world: World, worker: Member) -> Iterator[list[str]]:
    """Around what ends the worker's attempt, whichever it is at by then. Raises ``Missed``."""
    before = _hittable(world, worker)
    hit: list[str] = []
    yield hit
    # It may have gone on to another one between the look and the blow.
    with contextlib.suppress(psycopg.OperationalError):
        before = sorted({*before, *world.held_by(worker)})
    hit += before
    world.hits.update(before)


def _hittable(world: World, worker: Member) -> list[str]:
    try:
        held = world.held_by(worker)
    except psycopg.OperationalError:
        raise Missed("the database cannot say what the worker is at") from None
    if any(world.hits[one] >= _MOST_HITS for one in held):
        raise Missed("this inspection was hit often enough")
    return held


def _kill_below(world: World, chance: Random, words: bytes) -> str:
    """SIGKILL for a child of a worker that is at work, or will be within some seconds."""
    with _some_worker(world, chance) as worker:
        child = _await_child(worker, words)
        if child is None or not _hittable(world, worker):
            raise Missed("no such child is at work")
        with _ends_attempts(world, worker) as hit:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                raise Missed("it had just ended") from None
        return f"{worker.name} {' '.join(hit)}"


def _await_child(worker: Member, words: bytes) -> int | None:
    ends_at = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends_at:
        pid = worker.pid
        found = pid and next(_children(pid, lambda line: words in line), None)
        if found:
            return found
        time.sleep(_LOOK_S)
    return None


def _children(pid: int, is_wanted: Callable[[bytes], bool]) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in listed.read_text().split():
                if is_wanted(Path(f"/proc/{child}/cmdline").read_bytes()):
                    yield int(child)
