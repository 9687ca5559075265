"""Wake-ups that come twice, late or never, and a queue full of nonsense."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import cast
from uuid import uuid4

import psycopg
from redis import RedisError

from tests.chaos.faults import Missed
from tests.chaos.world import QUEUE, World
from worker.celery_app import INSPECT_TASK, make_celery

_PATIENCE_S = 8.0
_STALE = 400
_COPIES = 5


@contextmanager
def twice(world: World, _chance: Random) -> Iterator[str]:
    """Several wake-ups for everything that waits or is worked on."""
    ids = _ids(world, "status IN ('queued', 'validating', 'running')")
    if not ids:
        raise Missed("nothing waits")
    yield f"{_send(world, ids * _COPIES)} wake-ups for {len(ids)}"


@contextmanager
def lost(world: World, _chance: Random) -> Iterator[str]:
    yield f"{len(_take_all(world))} wake-ups"


@contextmanager
def late(world: World, _chance: Random) -> Iterator[str]:
    taken = _take_all(world)
    yield f"{len(taken)} wake-ups"
    try:
        world.queue().rpush(QUEUE, *taken)
    except RedisError:
        # Then they are lost, which is another kind that must do no harm.
        return


@contextmanager
def stale(world: World, chance: Random) -> Iterator[str]:
    """Wake-ups for what has ended, and for what never was."""
    ids = _ids(world, "finished_at IS NOT NULL") + [f"insp_{uuid4().hex}" for _ in range(20)]
    yield f"{_send(world, chance.choices(ids, k=_STALE))} wake-ups"


@contextmanager
def nonsense(world: World, chance: Random) -> Iterator[str]:
    """What no Celery ever sent, and what one sent that knows other tasks and other arguments."""
    messages: list[bytes] = [
        b"\xff\xfe not JSON",
        b"",
        b"{}",
        b"[]",
        b"17",
        json.dumps({"body": "!", "headers": {}, "properties": {}}).encode(),
        json.dumps({"body": "e30=", "headers": {"task": INSPECT_TASK}}).encode(),
    ]
    chance.shuffle(messages)
    try:
        world.queue().rpush(QUEUE, *messages)
    except RedisError as error:
        raise Missed("the broker is away") from error
    _send(world, ["", "x" * 10_000, "insp_\x00", None, 7, {"a": []}], task=INSPECT_TASK)
    _send(world, ["insp_1"], task="clipvet.nothing")
    yield f"{len(messages)} raw, 7 of Celery"


def _ids(world: World, condition: str) -> list[str]:
    try:
        found = world.rows(f"SELECT id FROM inspections WHERE {condition} LIMIT 200")
    except psycopg.OperationalError:
        raise Missed("the database cannot be asked") from None
    return [row["id"] for row in found]


def _send(world: World, arguments: Sequence[object], task: str = INSPECT_TASK) -> int:
    celery = make_celery(f"redis://127.0.0.1:{world.broker.port}/0")
    try:
        for argument in arguments:
            celery.send_task(task, args=[argument], retry=False)
    except Exception as error:
        raise Missed(f"the broker is away: {type(error).__name__}") from error
    finally:
        celery.close()
    return len(arguments)


def _take_all(world: World) -> list[bytes]:
    """All messages that lie there, as soon as there are any. Raises ``Missed``."""
    ends_at = time.monotonic() + _PATIENCE_S
    try:
        queue = world.queue()
        while time.monotonic() < ends_at:
            with queue.pipeline() as both:
                both.lrange(QUEUE, 0, -1)
                both.delete(QUEUE)
                taken = cast("list[bytes]", both.execute()[0])
            if taken:
                return taken
            time.sleep(0.05)
    except RedisError as error:
        raise Missed("the broker is away") from error
    raise Missed("no wake-up lay there")
