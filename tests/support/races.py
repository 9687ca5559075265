"""One race of parts against ``complete``, over HTTP, and what must hold after it.

Parts are sent, then at the same moment some are sent again with other bytes and the upload is completed
by several requests. Whatever the answers were, the client then does what they say until the upload is
stored. It must be stored in the end, under the hash of the bytes that lie in the store, and each of its
parts must be one whose sending was acknowledged.
"""

from __future__ import annotations

import functools
import hashlib
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx2

ALLOWED = {200, 404, 409}
_ROUNDS = 8
_PUT_AFTER_S, _COMPLETE_AFTER_S = 0.01, 0.03
"""Mean of what each request waits before it is sent; a part takes longer to get to the store."""


class Broken(Exception):
    """Something that must never happen has happened in a race."""


@dataclass(frozen=True, slots=True)
class Course:
    """How many bytes parts have, and how many of each request run against each other."""

    part_bytes: tuple[int, ...]
    puts: int
    completes: int
    declare: bool
    """The hash of what is sent first is declared, so that a race may end in 422, too."""


@dataclass
class Race:
    """``read`` gives the bytes that lie in the store for an upload."""

    url: str
    client: httpx2.Client
    chance: random.Random
    read: Callable[[str], bytes]
    answers: Counter[str] = field(default_factory=Counter)

    def run(self, course: Course) -> str:
        """How the race ended; raises ``Broken``."""
        first = [self.chance.randbytes(size) for size in course.part_bytes]
        body: dict[str, object] = {"filename": "m", "size": sum(course.part_bytes)}
        if course.declare:
            body["sha256"] = hashlib.sha256(b"".join(first)).hexdigest()
        made = self.client.post(f"{self.url}/v1/uploads", json=body)
        if made.status_code != 201:
            raise Broken(f"begin: {made.status_code} {made.text}")
        upload = made.json()["id"]
        acknowledged: list[set[bytes]] = [set() for _ in course.part_bytes]
        for index, data in enumerate(first):
            self._put(upload, index, data, acknowledged)
        self._clash(upload, course, acknowledged)
        ending = "at once"
        for _ in range(_ROUNDS):
            state = self.client.get(f"{self.url}/v1/uploads/{upload}").json()
            if state["status"] == "stored":
                self._judge(upload, state["sha256"], course, acknowledged)
                return ending
            ending = "after more requests"
            for part in state["parts"]:
                if not part["received"]:
                    index = part["part_number"] - 1
                    self._put(upload, index, first[index], acknowledged)
            self._complete(upload, course)
        raise Broken(f"{upload} is not stored after {_ROUNDS} rounds: {dict(self.answers)}")

    def _clash(self, upload: str, course: Course, acknowledged: list[set[bytes]]) -> None:
        jobs: list[tuple[float, Callable[[], None]]] = []
        for _ in range(course.puts):
            index = self.chance.randrange(len(course.part_bytes))
            data = self.chance.randbytes(course.part_bytes[index])
            put = functools.partial(self._put, upload, index, data, acknowledged)
            jobs.append((self.chance.expovariate(1 / _PUT_AFTER_S), put))
        for _ in range(course.completes):
            complete = functools.partial(self._complete, upload, course)
            jobs.append((self.chance.expovariate(1 / _COMPLETE_AFTER_S), complete))

        def later(wait: float, job: Callable[[], None]) -> None:
            time.sleep(wait)
            job()

        with ThreadPoolExecutor(len(jobs)) as pool:
            for done in [pool.submit(later, *job) for job in jobs]:
                done.result()

    def _put(self, upload: str, index: int, data: bytes, acknowledged: list[set[bytes]]) -> None:
        path = f"{self.url}/v1/uploads/{upload}/parts/{index + 1}"
        answer = self.client.put(path, content=data)
        self._count("part", answer, ALLOWED)
        if answer.status_code == 200:
            acknowledged[index].add(data)

    def _complete(self, upload: str, course: Course) -> None:
        answer = self.client.post(f"{self.url}/v1/uploads/{upload}/complete")
        self._count("complete", answer, ALLOWED | ({422} if course.declare else set()))

    def _count(self, what: str, answer: httpx2.Response, allowed: set[int]) -> None:
        code = answer.json()["code"] if answer.status_code >= 400 else "ok"
        self.answers[f"{what}: {answer.status_code} {code}"] += 1
        if answer.status_code not in allowed:
            raise Broken(f"{what}: {answer.status_code} {answer.text}")

    def _judge(
        self, upload: str, sha256: str, course: Course, acknowledged: list[set[bytes]]
    ) -> None:
        stored = self.read(upload)
        if hashlib.sha256(stored).hexdigest() != sha256:
            raise Broken(f"{upload}: the stored hash is not the hash of the stored bytes")
        start = 0
        for index, size in enumerate(course.part_bytes):
            if stored[start : start + size] not in acknowledged[index]:
                raise Broken(f"{upload}: part {index + 1} was never acknowledged")
            start += size
        if start != len(stored):
            raise Broken(f"{upload}: {len(stored)} bytes are stored instead of {start}")


def drawn(chance: random.Random, part_bytes: int, *, cheap: bool) -> Course:
    """A course by chance; ``cheap``: mostly single parts, where every other one is large."""
    count = chance.choice((1, 2, 3))
    if cheap:
        count = 2 if chance.random() < 0.1 else 1
    sizes = [part_bytes] * (count - 1) + [chance.randint(1, min(part_bytes, 4096))]
    return Course(tuple(sizes), chance.randint(1, 3), chance.randint(1, 3), chance.random() < 0.2)
