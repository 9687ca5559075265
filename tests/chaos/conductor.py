"""Begins and mends faults by a schedule that a seed decides.

The schedule says which kinds follow each other and when; what exactly a fault hits is drawn from the same
seed as far as it does not depend on what is there to be hit. A fault that finds nothing is tried again at
the end of the schedule, and after some times another kind takes its place; only what hit something counts.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from random import Random

from tests.chaos.faults import Kind, Missed
from tests.chaos.world import World

_AT_A_TIME = 3
_TRIES = 4
_AGAIN_S = 2.0


@dataclass(frozen=True)
class Planned:
    """One fault of the schedule: how long after the one before it begins, and how long it lasts."""

    number: int
    kind: Kind
    after_s: float
    lasts_s: float
    tries_left: int = _TRIES


def draw_schedule(
    kinds: list[Kind], chance: Random, *, count: int, gap_s: float, lease_s: float, scale: float
) -> list[Planned]:
    """``count`` faults, every kind as often as its share says, at least once each if there is room."""
    picked = list(kinds)
    if len(picked) < count:
        weights = [kind.share for kind in kinds]
        picked += chance.choices(kinds, weights, k=count - len(picked))
    chance.shuffle(picked)
    return [
        Planned(
            number,
            kind,
            chance.expovariate(1 / gap_s),
            chance.uniform(*kind.lasts_s) * scale + (lease_s if kind.outlasts_lease else 0),
        )
        for number, kind in enumerate(picked[:count])
    ]


class Conductor:
    """``run`` returns when every fault is mended."""

    def __init__(self, world: World, schedule: list[Planned], seed: int) -> None:
        self._kinds = sorted({one.kind for one in schedule}, key=lambda kind: kind.name)
        self.done: Counter[str] = Counter()
        self._world = world
        self._todo = deque(schedule)
        self._seed = seed
        self._slots = threading.Semaphore(_AT_A_TIME)
        self._guard = threading.Lock()
        self._running = 0
        self._changed = threading.Condition(self._guard)

    def run(self, *, until: float) -> None:
        """``until``: on the monotonic clock; nothing new begins after that."""
        while time.monotonic() < until:
            planned = self._next()
            if planned is None:
                break
            time.sleep(planned.after_s)
            # Who stands still for minutes takes nobody's turn.
            if not planned.kind.outlasts_lease:
                self._slots.acquire()
            with self._guard:
                self._running += 1
            threading.Thread(target=self._perform, args=(planned,), daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: not self._running)

    def _next(self) -> Planned | None:
        with self._changed:
            self._changed.wait_for(lambda: self._todo or not self._running)
            return self._todo.popleft() if self._todo else None

    def _perform(self, planned: Planned) -> None:
        try:
            self._hit(planned)
        except Exception as error:
            self._world.record.write("harness_error", fault=planned.kind.name, error=repr(error))
        finally:
            if not planned.kind.outlasts_lease:
                self._slots.release()
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _hit(self, planned: Planned) -> None:
        kind, record = planned.kind, self._world.record
        chance = Random(f"{self._seed}/{planned.number}/{planned.tries_left}")
        try:
            with kind.fault(self._world, chance) as what:
                begun = record.now
                record.write(
                    "fault",
                    number=planned.number,
                    name=kind.name,
                    what=what,
                    lasts_s=round(planned.lasts_s, 1),
                )
                with self._guard:
                    self.done[kind.name] += 1
                time.sleep(planned.lasts_s)
            record.write("mended", number=planned.number, name=kind.name, begun=round(begun, 1))
        except Missed as reason:
            record.write("missed", number=planned.number, name=kind.name, reason=str(reason))
            again = replace(planned, after_s=_AGAIN_S, tries_left=planned.tries_left - 1)
            if not again.tries_left:
                again = self._another(again, chance)
            with self._changed:
                self._todo.append(again)
                self._changed.notify_all()

    def _another(self, planned: Planned, chance: Random) -> Planned:
        brief = [kind for kind in self._kinds if not kind.outlasts_lease]
        kind = chance.choice(brief)
        return replace(
            planned, kind=kind, lasts_s=min(planned.lasts_s, *kind.lasts_s), tries_left=_TRIES
        )
