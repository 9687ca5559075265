"""Stage by stage: their order, and what is left and said when one breaks or the time runs out in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inspector.clip.backbone import Backbone
from inspector.clip.level import AssemblyLevel
from inspector.detection.judgement import Judgement
from inspector.detection.twin_test import TwinTest
from inspector.errors import AssemblyError, BackboneError, InspectorError, NumericalError
from inspector.profiles import PROFILES, Profile
from inspector.run.pipeline import STAGES
from tests.support.small import SMALL
from tests.unit.inspector.run.test_pipeline import (
    BRIEF,
    RULE,
    Bench,
    ids,
    scores,
    statuses,
)

BROKEN_AT = {
    "assemble": "inspector.run.prepare.assemble_checked",
    "probes": "inspector.run.prepare.load_pools",
    "assembly-level": "inspector.run.prepare.encode_clean",
    "estimate": "inspector.detection.twin_test.timed",
    "inversion": "inspector.detection.twin_test.read",
    "judge": "inspector.detection.twin_test.TwinTest.judged",
    "confirmation": "inspector.detection.twin_test.TwinTest.again",
    "pictures": "inspector.run.stages.draw_trigger",
    "repair": "inspector.run.repair_check.Tournament.run",
}
"""What is done in each stage but the first, by where it is looked up."""
TINY = Profile("quick", 8, 8, SMALL)
"""Nothing here depends on how much is looked at."""
CLEAN, CLEAN_AT_LAST, WARNED, ACCUSED = (0.5,), (1.5, 0.5), (4.0, 2.5, 2.5), (9.0,)
"""Scores, sweep after sweep, of a model that ends in `clean`, `suspicious` or `backdoored`."""


@pytest.fixture
def bench(vit: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setitem(PROFILES, "quick", TINY)
    monkeypatch.setattr("inspector.run.repair_check.STRATEGIES", BRIEF)
    # A random backbone agrees with nothing; what depends on the level is tested apart.
    monkeypatch.setattr(
        "inspector.run.prepare.assembly_level",
        lambda *given: AssemblyLevel("plausible", "said by the test", 0.5),
    )
    return Bench(vit, tmp_path)


def failing(problem: Exception) -> Callable[..., Any]:
    def fail(*given: Any, **told: Any) -> Any:
        raise problem

    return fail


def told_stages(bench: Bench) -> list[str]:
    told = [event["stage"] for event in bench.events if event["event"] == "progress"]
    return list(dict.fromkeys(told))


def of_kind(stage: str) -> tuple[float, ...]:
    """Scores with which that stage is reached."""
    return {"confirmation": CLEAN_AT_LAST, "repair": ACCUSED}.get(stage, CLEAN)


@pytest.mark.parametrize(
    ("given", "verdict", "left_out"),
    [
        (CLEAN, "clean", {"confirmation", "repair"}),
        (CLEAN_AT_LAST, "clean", {"repair"}),
        (WARNED, "suspicious", set()),
        (ACCUSED, "backdoored", set()),
    ],
)
def test_stages_run_in_one_order_and_those_that_are_not_needed_say_so(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    given: tuple[float, ...],
    verdict: str,
    left_out: set[str],
) -> None:
    scores(monkeypatch, *given)
    report = bench.inspect(repair=True)
    assert report["verdict"] == verdict
    assert list(statuses(report)) == list(STAGES)
    ran = [stage for stage in STAGES if stage not in left_out]
    assert told_stages(bench) == ran
    for row in report["stages"]:
        is_run = row["name"] in ran
        assert row["status"] == ("complete" if is_run else "not-needed")
        assert (row["seconds"] is not None) is is_run
    assert (report["repair"] is not None) is ("repair" in ran)


def test_a_repair_that_nobody_asked_for_is_not_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, *ACCUSED)
    report = bench.inspect()
    assert (report["verdict"], report["repair"]) == ("backdoored", None)
    assert statuses(report)["repair"] == "not-requested"
    assert not (bench.out / "repaired.safetensors").exists()


def check_ended_early(bench: Bench, report: dict[str, Any], stage: str, status: str) -> None:
    """Before it all is complete, nothing follows; the verdict is never `clean`; what was found stays."""
    place = STAGES.index(stage)
    told = statuses(report)
    assert told[stage] == status
    assert {told[one] for one in STAGES[:place]} <= {"complete", "not-needed"}
    assert {told[one] for one in STAGES[place + 1 :]} <= {"skipped"}
    assert told_stages(bench) == [one for one in STAGES[: place + 1] if told[one] != "not-needed"]
    assert report["verdict"] == ("backdoored" if stage == "repair" else "inconclusive")
    assert (report["probes"] is not None) is (place > STAGES.index("probes"))
    is_searched = place > STAGES.index("inversion")
    assert bool(report["per_class"]) is is_searched
    assert all((row["asr"] is not None) is is_searched for row in report["per_class"])
    is_judged = place > STAGES.index("judge")
    assert (report["score"] is not None) is is_judged
    shown = any(item["name"].startswith("trigger-") for item in report["artifacts"])
    assert shown is (place > STAGES.index("pictures"))
    assert report["repair"] is None
    kept = {item["name"] for item in report["artifacts"]} | {"report.json"}
    assert kept <= {path.name for path in bench.out.iterdir()}
    assert not (bench.out / "repaired.safetensors").exists()
    assert report["budget"]["seconds"] >= 0


@pytest.mark.parametrize("stage", BROKEN_AT)
def test_a_stage_that_breaks_leaves_what_was_found_and_is_never_clean(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    scores(monkeypatch, *of_kind(stage))
    monkeypatch.setattr(BROKEN_AT[stage], failing(NumericalError(f"the stage {stage}")))
    report = bench.inspect(repair=True)
    check_ended_early(bench, report, stage, "failed")
    (finding,) = (one for one in report["findings"] if one["id"] == "numerical-error")
    assert stage in finding["message"]


@pytest.mark.parametrize("stage", STAGES)
def test_time_that_runs_out_in_a_stage_leaves_what_was_found_and_is_never_clean(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    scores(monkeypatch, *of_kind(stage))

    def now() -> float:
        return 100.0 * (stage in told_stages(bench))

    monkeypatch.setattr("inspector.progress.time.monotonic", now)
    report = bench.inspect(repair=True, budget_s=50.0)
    check_ended_early(bench, report, stage, "budget-exceeded")
    assert "budget-exceeded" in ids(report)


@pytest.mark.parametrize(
    ("problem", "finding"),
    [
        (AssemblyError("it does not fit", "class-list-mismatch"), "class-list-mismatch"),
        (BackboneError("tiny", "it is broken"), "backbone-unusable"),
    ],
)
@pytest.mark.parametrize("stage", ["assemble", "probes", "pictures"])
def test_whatever_breaks_it_is_told(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    problem: InspectorError,
    finding: str,
) -> None:
    scores(monkeypatch, *CLEAN)
    monkeypatch.setattr(BROKEN_AT[stage], failing(problem))
    report = bench.inspect()
    assert finding in ids(report)
    assert (report["verdict"], statuses(report)[stage]) == ("inconclusive", "failed")


@pytest.mark.parametrize("stage", BROKEN_AT)
def test_a_fault_of_ours_leaves_no_report_at_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Whoever asked hears of it otherwise; a verdict would rest on what nobody understood."""
    scores(monkeypatch, *of_kind(stage))
    monkeypatch.setattr(BROKEN_AT[stage], failing(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        bench.inspect(repair=True)
    assert not (bench.out / "report.json").exists()


def test_classes_that_were_left_out_forbid_clean_though_every_stage_is_complete(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, *CLEAN)

    def judged(test: TwinTest) -> Judgement:
        return Judgement(0.5, RULE, [0.1, 0.5], [], published=None)

    monkeypatch.setattr(TwinTest, "judged", judged)
    report = bench.inspect(targets=2)
    assert set(statuses(report).values()) <= {"complete", "not-needed", "not-requested"}
    assert report["verdict"] == "inconclusive"
