"""Stages, fractions, times and the budget, by a clock that the tests set."""

from __future__ import annotations

from itertools import pairwise

import pytest

from inspector.errors import BudgetExceeded, NumericalError
from inspector.progress import Event, Meter


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("inspector.progress.time.monotonic", made)
    return made


def metered(budget_s: float | None = None) -> tuple[Meter, list[Event]]:
    said: list[Event] = []
    return Meter(said.append, budget_s), said


def work(meter: Meter, clock: Clock, targets: int, seconds: float) -> list[int]:
    done = []
    for target in meter.within_budget(range(targets)):
        clock.now += seconds
        done.append(target)
    return done


def statuses(meter: Meter) -> list[tuple[object, object]]:
    return [(stage["name"], stage["status"]) for stage in meter.stages]


def test_fractions_rise_with_the_work_and_never_beyond_one(clock: Clock) -> None:
    meter, said = metered()
    with meter.stage("inversion"):
        meter.expect(4)
        work(meter, clock, 4, 1.0)
    fractions = [event["fraction"] for event in said]
    assert fractions[0] == 0.0
    shown = fractions[1:]
    assert shown == sorted(set(shown)), "every class is a step of its own"
    steps = [later - earlier for earlier, later in pairwise(shown)]
    assert steps == pytest.approx([steps[0]] * 4, abs=1e-3)
    assert 0.95 < shown[-1] < 1, "judging and drawing come after the last search"
    work(meter, clock, 9, 1.0)
    assert said[-1]["fraction"] == shown[-1], "more work than was announced is not more than all"


def test_work_that_is_announced_late_does_not_make_the_fraction_fall(clock: Clock) -> None:
    meter, said = metered()
    with meter.stage("inversion"):
        meter.expect(2)
        work(meter, clock, 2, 1.0)
    with meter.stage("confirmation"):
        meter.expect(6)
        work(meter, clock, 6, 1.0)
    fractions = [event["fraction"] for event in said]
    assert fractions == sorted(fractions)
    before_the_work = fractions[[event["stage"] for event in said].index("confirmation")]
    assert fractions[-1] == before_the_work, "2 of 2 had been said; 8 of 8 are no more"


def test_the_time_left_is_first_estimated_and_then_measured(clock: Clock) -> None:
    meter, said = metered()
    meter.say("before anything is known")
    assert said[-1]["eta_s"] is None
    meter.expect(4)
    meter.unit_seconds = 10.0
    meter.say("estimated")
    assert said[-1]["eta_s"] == 40.0
    clock.now += 500.0  # What passed before the first class counts for none.
    targets = iter(meter.within_budget(range(4)))
    for expected in (40.0, 9.0, 6.0, 3.0):
        next(targets)
        assert said[-1]["eta_s"] == expected
        clock.now += 3.0
    assert next(targets, None) is None
    assert said[-1]["eta_s"] == 0.0


def test_every_event_has_the_same_fields_and_its_stage(clock: Clock) -> None:
    meter, said = metered()
    with meter.stage("one"):
        meter.say("a")
    with meter.stage("two"):
        meter.expect(1)
        work(meter, clock, 1, 1.0)
    meter.estimate(12.5, 640)
    estimate = said.pop()
    assert estimate == {"event": "estimate", "seconds": 12.5, "image_forward": 640}
    assert [(event["stage"], event["message"]) for event in said] == [
        ("one", "one"), ("one", "a"), ("two", "two"), ("two", "class 0"), ("two", ""),
    ]  # fmt: skip
    assert {tuple(event) for event in said} == {("event", "stage", "fraction", "eta_s", "message")}


def test_a_stage_is_measured_and_how_it_ended_is_kept(clock: Clock) -> None:
    meter, _ = metered(budget_s=100.0)
    with meter.stage("whole"):
        clock.now += 2.5
    with pytest.raises(NumericalError), meter.stage("broken"):
        clock.now += 1.0
        raise NumericalError("inversion of class 0")
    with pytest.raises(BudgetExceeded), meter.stage("late"):
        clock.now += 100.0
        meter.check()
    assert meter.stages == [
        {"name": "whole", "status": "complete", "seconds": 2.5},
        {"name": "broken", "status": "failed", "seconds": 1.0},
        {"name": "late", "status": "budget-exceeded", "seconds": 100.0},
    ]
    assert meter.seconds == 103.5


def test_no_stage_begins_when_the_time_is_up(clock: Clock) -> None:
    meter, _ = metered(budget_s=5.0)
    clock.now += 5.1
    with pytest.raises(BudgetExceeded, match="5 s"), meter.stage("never"):
        raise AssertionError("it began")
    assert statuses(meter) == [("never", "budget-exceeded")]


def test_skipping_never_overwrites_what_ran(clock: Clock) -> None:
    meter, _ = metered()
    with meter.stage("one"):
        clock.now += 1.0
    meter.skip(["two"], "not-needed")
    meter.skip(["one", "two", "three"], "skipped")
    assert statuses(meter) == [("one", "complete"), ("two", "not-needed"), ("three", "skipped")]
    assert [stage["seconds"] for stage in meter.stages] == [1.0, None, None]


@pytest.mark.parametrize(
    ("budget_s", "done"), [(None, 5), (100.0, 5), (2.5, 3), (2.0, 3), (1.9, 2), (0.0, 1)]
)
def test_a_budget_ends_the_work_between_classes(
    clock: Clock, budget_s: float | None, done: int
) -> None:
    """It is up when more than that has passed: the class that crosses the line is still searched."""
    meter, said = metered(budget_s)
    meter.expect(5)
    assert work(meter, clock, 5, 1.0) == list(range(done))
    is_whole = done == 5
    assert (said[-1]["message"] == "") is is_whole, (
        "the last event tells of no work that was not done"
    )
    assert (said[-1]["fraction"] > 0.95) is is_whole


def test_without_a_budget_time_is_never_up(clock: Clock) -> None:
    meter, _ = metered()
    clock.now += 1e9
    meter.check()
    with meter.stage("still"):
        pass
    assert statuses(meter) == [("still", "complete")]
