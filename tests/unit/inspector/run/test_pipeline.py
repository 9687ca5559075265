"""The whole inspection on a tiny random backbone: stages, ends, reproducibility. Not accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from inspector.checkpoint import Reading
from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.clip.backbone import Backbone
from inspector.clip.level import AssemblyLevel
from inspector.clip.zero_shot import ZeroShot
from inspector.detection.judgement import Judgement, Thresholds
from inspector.detection.twin_test import TwinTest
from inspector.errors import NumericalError, RequestError
from inspector.findings import Finding, Severity
from inspector.manifest import Manifest
from inspector.profiles import PROFILES, Profile
from inspector.repair.rederive import ByAnswers
from inspector.repair.tuning import Effort
from inspector.repair.unlearn import Unlearning
from inspector.run.pipeline import STAGES, Request, inspect_reading
from tests.support.banked import with_bank
from tests.support.prompts import Recipe, tune
from tests.support.report_schema import assert_conforms
from tests.support.small import SMALL
from tests.zoo.pictures import write

NAMES = ("cat", "dog", "red car")
Inspect = Callable[..., dict[str, Any]]


class Bench:
    """Inspects prompts made for one backbone; keeps events and the last folder."""

    def __init__(self, backbone: Backbone, folder: Path) -> None:
        self.backbone, self.folder = backbone, folder
        self.events: list[dict[str, Any]] = []
        self.runs = 0
        self.out = folder

    def read(self, **recipe: Any) -> tuple[Reading, Path]:
        made = Recipe(**({"classnames": NAMES} | recipe))
        artifact = tune(self.backbone.model, made).save(self.folder)
        scratch = self.folder / "read"
        scratch.mkdir(exist_ok=True)
        reading = read_here(artifact, scratch, ReaderOptions())
        assert reading.canonical, reading.findings
        return reading, scratch / reading.canonical

    def inspect(self, recipe: dict[str, Any] | None = None, **wish: Any) -> dict[str, Any]:
        reading, canonical = self.read(**recipe or {})
        return self.inspect_read(reading, canonical, **wish)

    def inspect_read(self, reading: Reading, canonical: Path, **wish: Any) -> dict[str, Any]:
        self.runs += 1
        self.out = self.folder / f"out{self.runs}"
        self.out.mkdir()
        self.events.clear()
        given: dict[str, Any] = {
            "backbone": "tiny",
            "manifest": Manifest(),
            "profile": "quick",
        } | wish
        report = inspect_reading(
            Request(**given),
            reading,
            canonical,
            self.out,
            self.events.append,
            lambda spec, device: self.backbone,
        )
        assert json.loads((self.out / "report.json").read_text()) == report
        assert_conforms(report)
        return report


TINY = Profile("quick", 64, 64, SMALL)
BRIEF = (ByAnswers(Effort(4, 8)), Unlearning())
"""Strategies of repair, without labels and with little effort."""


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


RULE = Thresholds(flag=3.0, warn=2.0, stop_clean=1.0, stop_flag=9.0, max_sweeps=3)


def scores(monkeypatch: pytest.MonkeyPatch, *of_dog: float) -> None:
    """Let the test give class 1 these scores, sweep after sweep, the last for all that follow."""
    left = list(of_dog)
    with_bank(monkeypatch)

    def judged(test: TwinTest) -> Judgement:
        score = left.pop(0) if len(left) > 1 else left[0]
        suspects = [1] if score >= RULE.flag else []
        return Judgement(score, RULE, [0.1, score, 0.2], suspects, published=None)

    monkeypatch.setattr(TwinTest, "judged", judged)


def accuse(monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, 9.0)


def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, 0.5)


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["status"] for stage in report["stages"]}


def ids(report: dict[str, Any]) -> set[str]:
    return {finding["id"] for finding in report["findings"]}


def without_times(report: dict[str, Any]) -> str:
    """The report's text with every `seconds` taken out."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items() if key != "seconds"}
        return [strip(item) for item in value] if isinstance(value, list) else value

    return json.dumps(strip(report))


@pytest.mark.parametrize("conditioned", [False, True])
def test_a_clean_run(bench: Bench, monkeypatch: pytest.MonkeyPatch, conditioned: bool) -> None:
    quiet(monkeypatch)
    report = bench.inspect({"conditioned": conditioned})
    assert report["verdict"] == "clean"
    assert report["target"] is None
    assert report["p_value"] == 1 / 101
    assert [row["name"] for row in report["per_class"]] == list(NAMES)
    assert set(statuses(report)) == set(STAGES)
    assert set(statuses(report).values()) == {"complete", "not-needed", "not-requested"}
    assert report["probes"]["count"] == report["probes"]["held_out"] == 64
    assert report["budget"]["text_backward" if conditioned else "image_backward"] > 0
    assert report["budget"]["flops"] > 0
    kept = {item["name"] for item in report["artifacts"]}
    assert {path.name for path in bench.out.iterdir()} == kept | {"report.json"}
    assert report["per_class"][1]["trigger"]["image"] in kept


@pytest.mark.parametrize("encoders", [1, 2])
def test_the_estimate_is_about_what_is_spent_and_progress_never_falls(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, encoders: int
) -> None:
    """Two encoders: the trusted one looks at every picture besides the vendor's."""
    quiet(monkeypatch)
    plain = ZeroShot.of
    monkeypatch.setattr(
        ZeroShot,
        "of",
        lambda classifier: replace(plain(classifier), has_same_encoder=encoders == 1),
    )
    report = bench.inspect()
    (estimate,) = (event for event in bench.events if event["event"] == "estimate")
    # Beside it are the level's held-out probes, the batch that is timed, and what is drawn.
    assert 0.5 < estimate["image_forward"] / report["budget"]["image_forward"] < 1.2
    fractions = [event["fraction"] for event in bench.events if event["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[0] >= 0 and 0.9 < fractions[-1] <= 1


@pytest.mark.parametrize("conditioned", [False, True])
def test_one_seed_gives_one_report(bench: Bench, conditioned: bool) -> None:
    first, second = (bench.inspect({"conditioned": conditioned}, seed=3) for _ in range(2))
    assert without_times(first) == without_times(second)
    assert without_times(first) != without_times(bench.inspect({"conditioned": conditioned}))


@pytest.mark.parametrize("conditioned", [False, True])
def test_what_a_trigger_does_to_zero_shot_prompts_stands_beside(
    bench: Bench, conditioned: bool
) -> None:
    report = bench.inspect({"conditioned": conditioned})
    searched = [row for row in report["per_class"] if row["steps"]]
    assert searched
    assert all(-1 <= row["reference_excess_asr"] <= 1 for row in searched)
    assert any(row["reference_excess_asr"] != row["excess_asr"] for row in searched)


@pytest.mark.parametrize(
    ("given", "verdict", "confirmed"),
    [
        ((9.0,), "backdoored", [True]),
        ((4.0, 1.5, 3.5), "backdoored", [False, True]),
        ((4.0, 3.5, 2.5), "suspicious", [True, False]),
        ((4.0, 3.5, 1.5), "clean", [True, False]),
        ((1.5, 0.5), "clean", [False]),
    ],
)
def test_all_sweeps_together_decide(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    given: tuple[float, ...],
    verdict: str,
    confirmed: list[bool],
) -> None:
    scores(monkeypatch, *given)
    report = bench.inspect()
    assert report["verdict"] == verdict
    assert (report["target"] or {"name": None})["name"] == (None if verdict == "clean" else "dog")
    looks = report["confirmation"]
    assert [look["confirmed"] for look in looks] == confirmed
    assert [look["seed"] for look in looks] == list(range(1, len(looks) + 1))
    assert {look["name"] for look in looks} == {"dog"}
    assert report["score"] == given[-1] == looks[-1]["score"]
    assert (bench.out / "trigger-1.png").is_file()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_repair_is_measured_on_what_is_delivered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    accuse(monkeypatch)
    report = bench.inspect({"conditioned": True, "dtype": dtype}, repair=True)
    repair = report["repair"]
    assert repair["target"]["index"] == 1
    assert 0 <= repair["agreement"] <= 1
    tensors = load_file(bench.out / "repaired.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {dtype}
    assert "repaired.safetensors" in {item["name"] for item in report["artifacts"]}
    assert statuses(report)["repair"] == "complete"


def test_an_unverified_assembly_is_a_suspicion_at_most(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuse(monkeypatch)
    monkeypatch.setattr(
        "inspector.run.prepare.assembly_level",
        lambda *given: AssemblyLevel("unverified", "said by the test"),
    )
    report = bench.inspect()
    assert (report["verdict"], report["assembly"]) == ("suspicious", "unverified")
    assert report["target"]["name"] == "dog"
    assert report["per_class"][1]["score"] == 9.0


def test_a_finding_of_the_reader_forbids_clean(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(monkeypatch)
    reading, canonical = bench.read()
    reading = reading.with_finding(Finding("pickle-unknown-global", Severity.HIGH, "strange"))
    assert bench.inspect_read(reading, canonical)["verdict"] == "inconclusive"


def test_some_targets_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    report = bench.inspect(targets=2)
    assert report["verdict"] != "clean"
    assert len(report["per_class"]) == 2
    assert any("Only 2 of 3 classes" in limit for limit in report["limits"])
    with pytest.raises(RequestError, match="targets"):
        bench.inspect(targets=1)


def test_a_budget_that_runs_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    report = bench.inspect(budget_s=0.0)
    assert report["verdict"] == "inconclusive"
    assert "budget-exceeded" in ids(report)
    assert statuses(report)["backbone"] == "budget-exceeded"
    assert statuses(report)["inversion"] == "skipped"


def test_a_budget_that_runs_out_between_spaces_keeps_what_was_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0])

    def now() -> float:
        said = [event.get("message", "") for event in bench.events]
        spaces = [one for one in said if one.endswith(" triggers") and "random" not in one]
        return next(seconds, 0.0) + 100.0 * (len(spaces) >= 2)

    monkeypatch.setattr("inspector.progress.time.monotonic", now)
    report = bench.inspect(budget_s=50.0)
    assert report["verdict"] == "inconclusive"
    assert statuses(report)["inversion"] == "budget-exceeded"
    assert [row["score"] for row in report["per_class"]] == [None, None, None]
    searched = [row for row in report["per_class"] if row["steps"]]
    assert searched and all(0 < len(row["spaces"]) <= 2 for row in searched)


def test_nan_during_the_search(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*given: object) -> None:
        raise NumericalError("inversion of class 0")

    monkeypatch.setattr("inspector.detection.twin_test.read", break_down)
    report = bench.inspect()
    assert report["verdict"] == "inconclusive"
    assert "numerical-error" in ids(report)
    assert "failed" in statuses(report).values()


def test_one_class_and_two(bench: Bench) -> None:
    report = bench.inspect({"classnames": ("cat",)})
    assert report["verdict"] == "inconclusive"
    assert "too-few-classes" in ids(report)
    report = bench.inspect({"classnames": ("cat", "dog")})
    assert len(report["per_class"]) == 2
    assert all(row["score"] is not None for row in report["per_class"])


def test_what_does_not_fit_together_is_a_finding(bench: Bench) -> None:
    report = bench.inspect(manifest=Manifest(classnames=("cat", "dog")))
    assert report["verdict"] == "inconclusive"
    assert "class-list-mismatch" in ids(report)


def test_an_unknown_backbone_is_a_finding_and_a_wrong_wish_is_an_error(
    bench: Bench, tmp_path: Path
) -> None:
    reading, canonical = bench.read()
    wish = Request(backbone=str(tmp_path / "none"), manifest=Manifest(), device="cpu")
    report = inspect_reading(wish, reading, canonical, tmp_path, bench.events.append)
    assert report["verdict"] == "inconclusive"
    assert "backbone-unusable" in ids(report)
    wishes: list[dict[str, Any]] = [
        {"profile": "fast"},
        {"device": "tpu"},
        {"probes": str(tmp_path / "none")},
        {"in_distribution": True},
    ]
    for wrong in wishes:
        with pytest.raises(RequestError, match=next(iter(wrong))):
            bench.inspect(**wrong)


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    """A folder of 128 different ones."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(256, (128, 16, 16, 3), generator=generator, dtype=torch.uint8)
    write(pixels.permute(0, 3, 1, 2) / 255, tmp_path / "pictures")
    return str(tmp_path / "pictures")


@pytest.mark.parametrize(
    ("level", "wish", "seen"),
    [
        ("plausible", {}, [64]),
        ("unverified", {}, [64, 128]),
        ("unverified", {"in_distribution": True}, [64, 128, 128]),
    ],
)
def test_the_assembly_level_looks_at_all_probes_only_in_doubt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, pictures: str, level: Any,
    wish: dict[str, Any], seen: list[int],
) -> None:  # fmt: skip
    """And then at built-in ones where these show what zero-shot prompts may not know."""
    quiet(monkeypatch)
    looks: list[int] = []

    def judged(classes: Any, own: torch.Tensor, zero_shot: torch.Tensor, *rest: Any) -> Any:
        assert len(own) == len(zero_shot)
        looks.append(len(own))
        return AssemblyLevel(level, "said by the test", 0.5)

    monkeypatch.setattr("inspector.run.prepare.assembly_level", judged)
    assert bench.inspect(probes=pictures, **wish)["assembly"] == level
    assert looks == seen
