"""Stages, progress and time budget of one inspection. Torch-free.

The unit of work is the search for one target; a stage announces how many it expects. Knows no
stage by name. Time is read here only, so that everything else is reproducible.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from inspector.errors import BudgetExceeded

Event = dict[str, Any]
T = TypeVar("T")
EVENTS_SCHEMA = Path(__file__).with_name("events.schema.json")
"""Of every line that a child of a worker prints: these, and the `done` or `error` behind them."""
Say = Callable[[Event], None]


class Meter:
    """Measures stages and says how far the inspection is."""

    def __init__(self, say: Say, budget_s: float | None) -> None:
        self._say, self._budget_s = say, budget_s
        self._started = time.monotonic()
        self._stage = "start"
        self._fraction = 0.0
        self._done = self._expected = 0
        self._working_since: float | None = None
        self.unit_seconds: float | None = None
        self.stages: list[dict[str, object]] = []

    @property
    def seconds(self) -> float:
        """Since the inspection began."""
        return time.monotonic() - self._started

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage; how it ended is kept in `stages`."""
        self._stage = name
        self.say(name)
        started, status = time.monotonic(), "failed"
        try:
            self.check()
            yield
            status = "complete"
        except BudgetExceeded:
            status = "budget-exceeded"
            raise
        finally:
            seconds = round(time.monotonic() - started, 3)
            self.stages.append({"name": name, "status": status, "seconds": seconds})

    def skip(self, names: Iterable[str], status: str) -> None:
        """Enter stages that have not run."""
        known = {stage["name"] for stage in self.stages}
        for name in names:
            if name not in known:
                self.stages.append({"name": name, "status": status, "seconds": None})

    def estimate(self, seconds: float, image_forward: int) -> None:
        """Say what the whole inspection is expected to cost."""
        self._say({"event": "estimate", "seconds": seconds, "image_forward": image_forward})

    def expect(self, units: int) -> None:
        """Announce work to come."""
        self._expected += units

    def check(self) -> None:
        """Raises BudgetExceeded when the time is up."""
        if self._budget_s is not None and self.seconds > self._budget_s:
            raise BudgetExceeded(f"the time budget of {self._budget_s:g} s ran out")

    def within_budget(
        self, items: Iterable[T], name: Callable[[T], str] = "class {}".format
    ) -> Iterator[T]:
        """Pass items on until the time is up; what was found until then is kept by the caller."""
        if self._working_since is None:
            self._working_since = time.monotonic()
        for item in items:
            if self._budget_s is not None and self.seconds > self._budget_s:
                return
            self.say(name(item))
            yield item
            self._done += 1
        self.say("")

    def say(self, message: str) -> None:
        """One progress event; the fraction never falls."""
        if self._expected:
            # Judging, drawing and writing come after the last search.
            now = 0.02 + 0.96 * min(1.0, self._done / self._expected)
            self._fraction = max(self._fraction, now)
        self._say(
            {
                "event": "progress",
                "stage": self._stage,
                "fraction": round(self._fraction, 4),
                "eta_s": self._eta(),
                "message": message,
            }
        )

    def _eta(self) -> float | None:
        left = max(0, self._expected - self._done)
        if self._done and self._working_since is not None:
            each = (time.monotonic() - self._working_since) / self._done
        elif self.unit_seconds is not None:
            each = self.unit_seconds
        else:
            return None
        return round(left * each, 1)
