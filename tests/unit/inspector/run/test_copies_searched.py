"""Which copies of a model are searched in full, one after the other, and which one is delivered."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from inspector.detection.judgement import Judgement
from inspector.detection.twin_test import TwinTest
from inspector.errors import NumericalError
from inspector.profiles import PROFILES, Profile
from inspector.progress import Meter
from inspector.repair.strategy import Case
from inspector.run import repair_check
from inspector.run.rounds import NO_MORE, NOT_NEEDED
from tests.support.small import SMALL
from tests.unit.inspector.run.test_pipeline import Bench, ids, scores, statuses
from tests.unit.inspector.run.test_repair_check import (
    AFTER,
    BEFORE,
    FILE,
    Made,
    as_it_was,
    leaving_nothing,
    moving,
    repaired,
    wrecked,
)
from tests.unit.inspector.run.test_stages import bench
from tests.zoo.pictures import write

__all__ = ["bench"]  # A fixture.
ACCUSED, CALM = AFTER["accused"], AFTER["calm"]
FAILS = (ACCUSED, ACCUSED)
"""Scores of the two sweeps that accuse a copy."""
NEXT = "the next copy, by kept"
"""What progress says where the second search begins."""


def moved(case: Case) -> dict[str, Tensor]:
    return as_it_was(case) | {"ctx": case.classifier.context + 1 / 3}


ANEW = Made(moved, "anew", keeps_weights=False)
KEPT, WRECKED = Made(as_it_was, "kept"), Made(wrecked, "wrecked")


LEAST = replace(SMALL, num_eval=8, screened=1, trial=1, steps=1, finalists=3, batch=2)


@pytest.fixture(autouse=True)
def as_little_as_can_be(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what searches find matters here nor what twins know."""
    monkeypatch.setitem(PROFILES, "quick", Profile("quick", 8, 8, LEAST))
    monkeypatch.setattr("inspector.twins.linear.STEPS", 5)
    leaving_nothing(monkeypatch)


def searched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *of_copies: float, **wish: Any
) -> dict[str, Any]:
    """The report on a repair whose copies, in their order, show these scores, sweep after sweep."""
    monkeypatch.setattr(repair_check, "STRATEGIES", (WRECKED, KEPT, ANEW))
    scores(monkeypatch, *BEFORE, *of_copies)
    return bench.inspect(repair=True, **wish)


def rows_of(report: dict[str, Any]) -> dict[str, Any]:
    return {row["strategy"]: row["searched"] for row in report["repair"]["candidates"]}


def is_moved(bench: Bench) -> bool:
    """Whether the tensors that were kept are those of the copy that was made anew."""
    return load_file(bench.out / FILE)["ctx"].mean().item() == pytest.approx(1 / 3, abs=0.05)


def test_a_copy_that_does_not_fail_is_the_only_one_that_is_searched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = searched(bench, monkeypatch, CALM)
    told = report["repair"]
    assert (told["strategy"], told["outcome"], told["copies_searched"]) == (
        "anew", "unproved", 1,
    )  # fmt: skip
    calm = {"score": CALM, "is_suspicious": False}
    assert rows_of(report) == {"anew": calm, "wrecked": None, "kept": None}
    by_name = {row["strategy"]: row for row in told["candidates"]}
    anew = by_name.pop("anew")
    assert (anew["keeps_weights"], anew["is_within_bars"], anew["reason"]) == (False, True, None)
    assert {row["reason"] for row in by_name.values()} == {NOT_NEEDED}
    assert 0 < told["flops"] < report["budget"]["flops"]


@pytest.mark.parametrize(
    ("of_copies", "made", "best", "reason"),
    [
        ((CALM,), ["first"], "first", NOT_NEEDED),
        ((*FAILS, CALM), ["first", "second"], "second", NOT_NEEDED),
        ((*FAILS, *FAILS), ["first", "second"], "first", NO_MORE),
    ],
)
def test_copies_are_made_until_one_passes_or_no_more_are_searched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch,
    of_copies: tuple[float, ...], made: list[str], best: str, reason: str,
) -> None:  # fmt: skip
    noted: list[str] = []

    def noting(name: str, keeps_weights: bool) -> Made:
        def make(case: Case) -> dict[str, Tensor]:
            noted.append(name)
            return as_it_was(case)

        return Made(make, name, keeps_weights)

    every = noting("kept", True), noting("first", False), noting("second", False)
    monkeypatch.setattr(repair_check, "STRATEGIES", every)
    scores(monkeypatch, *BEFORE, *of_copies)
    told = bench.inspect(repair=True)["repair"]
    assert noted == made
    outcome = "unproved" if reason == NOT_NEEDED else "failed"
    assert (told["outcome"], told["copies_searched"]) == (outcome, len(made))
    assert told["strategy"] == best
    left = {row["strategy"] for row in told["candidates"] if row["reason"] == reason}
    assert left == {one.name for one in every} - set(made)


def test_a_copy_over_a_bar_is_not_searched_before_others_are_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving(monkeypatch, 0.2)
    monkeypatch.setattr(repair_check, "STRATEGIES", (Made(as_it_was, "anew", False), KEPT))
    scores(monkeypatch, *BEFORE, CALM)
    told = bench.inspect(repair=True)["repair"]
    assert [row["reason"] for row in told["candidates"]] == [None, None]
    assert (told["strategy"], told["outcome"]) == ("anew", "failed")


def test_where_the_first_fails_the_next_is_searched_and_delivered_if_its_word_is_better(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = searched(bench, monkeypatch, *FAILS, CALM)
    told = report["repair"]
    assert (told["strategy"], told["outcome"], told["copies_searched"]) == (
        "kept", "unproved", 2,
    )  # fmt: skip
    assert rows_of(report) == {
        "anew": {"score": ACCUSED, "is_suspicious": True},
        "kept": {"score": CALM, "is_suspicious": False},
        "wrecked": None,
    }
    assert told["after"]["score"] == CALM
    assert not told["after"]["is_suspicious"]
    assert not is_moved(bench)


def test_of_two_that_fail_the_first_is_delivered_and_no_third_is_searched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = searched(bench, monkeypatch, *FAILS, ACCUSED + 1, ACCUSED + 1, CALM)
    told = report["repair"]
    assert (told["strategy"], told["outcome"], told["copies_searched"]) == ("anew", "failed", 2)
    assert told["after"]["score"] == ACCUSED
    assert rows_of(report)["kept"] == {"score": ACCUSED + 1, "is_suspicious": True}
    assert rows_of(report)["wrecked"] is None
    assert is_moved(bench)


def test_a_copy_that_has_failed_already_is_not_searched_after_the_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A calm search would not make its word another one."""
    moving(monkeypatch, 0.2)
    report = searched(bench, monkeypatch, CALM)
    assert (report["repair"]["outcome"], report["repair"]["copies_searched"]) == ("failed", 1)
    assert not any(row["is_within_bars"] for row in report["repair"]["candidates"])


def test_both_searches_have_one_seed_and_every_class(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TwinTest.run
    tests: list[tuple[int, list[int]]] = []

    def spied(test: TwinTest, targets: list[int], meter: Meter) -> Judgement:
        tests.append((test.seed, targets))
        return run(test, targets, meter)

    monkeypatch.setattr(TwinTest, "run", spied)
    report = searched(bench, monkeypatch, *FAILS, CALM)
    assert tests == 2 * [(report["repair"]["seed"], [0, 1, 2])]


@pytest.mark.parametrize("is_of_task", [True, False])
def test_pictures_of_the_task_tell_that_a_copy_is_another_model(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, is_of_task: bool
) -> None:
    """Then it stands behind, also if it holds no weights; other pictures say nothing of it."""
    monkeypatch.setitem(PROFILES, "quick", Profile("quick", 64, 64, LEAST))
    size, folder = bench.backbone.image_size, bench.folder / "seen"
    write(torch.rand(130, 3, size, size, generator=torch.Generator().manual_seed(3)), folder)
    strange = Made(wrecked, "strange", keeps_weights=False)
    wish = {"probes": str(folder), "in_distribution": is_of_task}
    told = repaired(bench, monkeypatch, CALM, strange, KEPT, **wish)["repair"]
    rows = {row["strategy"]: row["is_within_bars"] for row in told["candidates"]}
    assert list(rows) == (["kept", "strange"] if is_of_task else ["strange", "kept"])
    assert rows["kept"] is (True if is_of_task else None), "not made where the other passes"
    assert rows["strange"] is not is_of_task
    assert told["agreement"] == told["candidates"][0]["agreement"]


def failing_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the search of that copy break."""
    run, calls = TwinTest.run, count(1)

    def broken(test: TwinTest, targets: list[int], meter: Meter) -> Judgement:
        if next(calls) == number:
            raise NumericalError("the search")
        return run(test, targets, meter)

    monkeypatch.setattr(TwinTest, "run", broken)


def assert_first_stands(bench: Bench, report: dict[str, Any]) -> None:
    told = report["repair"]
    assert (told["strategy"], told["outcome"], told["copies_searched"]) == ("anew", "failed", 1)
    assert told["after"]["score"] == ACCUSED
    assert rows_of(report)["kept"] is None
    assert is_moved(bench)
    assert [item["name"] for item in report["artifacts"]].count(FILE) == 1
    assert report["verdict"] == "backdoored"


def test_what_was_said_of_the_first_stands_where_the_next_cannot_be_searched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(monkeypatch, 2)
    report = searched(bench, monkeypatch, *FAILS, CALM)
    assert_first_stands(bench, report)
    assert statuses(report)["repair"] == "failed"


@pytest.mark.parametrize("later", [1, 3], ids=["before it", "within it"])
def test_it_stands_where_the_time_ends_in_the_second_search(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    def now() -> float:
        told = [event.get("message") for event in bench.events]
        return 100.0 * (NEXT in told and len(told) - told.index(NEXT) >= later)

    monkeypatch.setattr("inspector.progress.time.monotonic", now)
    report = searched(bench, monkeypatch, *FAILS, CALM, budget_s=50.0)
    assert_first_stands(bench, report)
    assert statuses(report)["repair"] == "budget-exceeded"
    assert "budget-exceeded" in ids(report)


def test_the_second_search_is_announced_as_work_to_come(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = count()
    monkeypatch.setattr("inspector.progress.time.monotonic", lambda: float(next(seconds)))
    searched(bench, monkeypatch, *FAILS, CALM)
    told = [event for event in bench.events if event["event"] == "progress"]
    (place,) = (place for place, event in enumerate(told) if event["message"] == NEXT)
    left = [event["eta_s"] for event in told[place:]]
    assert left[0] > 0 == told[place - 1]["eta_s"] == left[-1]
    fractions = [event["fraction"] for event in told]
    assert fractions == sorted(fractions)
