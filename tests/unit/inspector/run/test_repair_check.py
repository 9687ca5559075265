"""What a repair is said to have done: by which word, of which copy, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.clip.classifier import Classifier
from inspector.detection.evidence import Inverted, measure
from inspector.detection.seeds import derive_seed
from inspector.detection.twin_test import TwinTest
from inspector.errors import NumericalError, RequestError
from inspector.progress import Meter
from inspector.repair import tuning
from inspector.repair.acceptance import FEWEST_MEASURED
from inspector.repair.realign import ReAlignment
from inspector.repair.rederive import ByAnswers, ByBoth, ByLabels
from inspector.repair.strategy import Case, Strategy
from inspector.repair.tuning import Effort
from inspector.repair.unlearn import Unlearning
from inspector.run import repair_check
from tests.support.checkpoints import save_dassl
from tests.support.prompt_files import file_of
from tests.unit.inspector.run import test_pipeline
from tests.unit.inspector.run.test_pipeline import NAMES, RULE, Bench, scores, statuses
from tests.unit.inspector.run.test_stages import bench
from tests.zoo.pictures import write

__all__ = ["bench"]  # A fixture.
FILE = "repaired.safetensors"
AFTER = {"warned": RULE.warn, "accused": RULE.flag + 6, "calm": RULE.warn - 1.01}
BEFORE = (9.0, 9.0)
"""Of the two sweeps that accuse; every later score is that of the repaired model."""


@dataclass(frozen=True)
class Made:
    """A strategy that makes of the delivered tensors what it is told to."""

    make: Callable[[Case], dict[str, Tensor]]
    name: str = "made by the test"
    keeps_weights: bool = True

    def tensors(self, case: Case) -> dict[str, Tensor]:
        return self.make(case)


def as_it_was(case: Case) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in case.delivered.learned.items()}


def wrecked(case: Case) -> dict[str, Tensor]:
    noise = torch.randn(case.classifier.context.shape, generator=torch.Generator().manual_seed(0))
    return as_it_was(case) | {"ctx": 5 * noise}


NOTHING, WRECKING = Made(as_it_was), Made(wrecked, "wrecking")


def repaired(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, after: float, *strategies: Strategy, **wish: Any
) -> dict[str, Any]:
    scores(monkeypatch, *BEFORE, after)
    monkeypatch.setattr(repair_check, "STRATEGIES", strategies)
    report = bench.inspect({"conditioned": True}, repair=True, **wish)
    assert report["verdict"] == "backdoored"
    return report


def moving(monkeypatch: pytest.MonkeyPatch, excess: float) -> None:
    """Let the old trigger carry that much more than nothing does, whatever the copy."""

    def measured(*given: Any) -> Inverted:
        return replace(measure(*given), asr=0.3 + excess, base_asr=0.3)

    monkeypatch.setattr("inspector.repair.tournament.measure", measured)


def leaving_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no trigger carry anything, whatever a random backbone's happen to."""
    moving(monkeypatch, 0.0)
    monkeypatch.setattr(
        "inspector.repair.tournament.gains_by_class", lambda copy, clean, seed: clean.logits[0] * 0
    )


def labelled(bench: Bench, number: int, classes: tuple[str, ...] = NAMES) -> Path:
    """A folder a class, of pictures that nobody else has."""
    folder = bench.folder / "labelled"
    generator = torch.Generator().manual_seed(5)
    for name in classes:
        size = bench.backbone.image_size
        write(torch.rand(number, 3, size, size, generator=generator), folder / name)
    return folder


@pytest.mark.parametrize(
    ("after", "excess", "outcome"),
    [
        ("calm", 0.0999, "unproved"), ("calm", 0.1001, "failed"), ("warned", 0.0, "failed"),
    ],
)  # fmt: skip
def test_without_labels_nothing_is_proved_and_much_can_fail(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, after: str, excess: float, outcome: str
) -> None:
    moving(monkeypatch, excess)
    report = repaired(bench, monkeypatch, AFTER[after], NOTHING)
    told = report["repair"]
    assert (told["outcome"], told["succeeded"], told["accuracy"]) == (outcome, False, None)
    assert told["after"]["is_suspicious"] is (after != "calm")
    assert told["after"]["score"] == AFTER[after]
    assert told["before"]["score"] == BEFORE[-1] == report["score"]
    assert told["after"]["excess_asr_of_the_old_trigger"] == pytest.approx(excess)


ENOUGH = 2 * FEWEST_MEASURED // len(NAMES)
"""Pictures a class of which half are enough to measure with."""


@pytest.mark.parametrize(("number", "outcome"), [(ENOUGH, "repaired"), (ENOUGH - 2, "unproved")])
def test_enough_labels_and_a_calm_search_make_a_repair(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int, outcome: str
) -> None:
    moving(monkeypatch, 0.0)
    given = str(labelled(bench, number))
    told = repaired(bench, monkeypatch, AFTER["calm"], NOTHING, labelled=given)["repair"]
    assert (told["outcome"], told["succeeded"]) == (outcome, outcome == "repaired")
    measured = told["accuracy"]
    assert measured["pictures"] == number * len(NAMES) // 2
    assert measured["before"] == measured["after"]
    assert measured["is_measured"] is (number == ENOUGH)


def test_the_best_copy_is_searched_again_and_the_others_stand_in_the_table(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_labels = ByLabels(Effort(1, 8))
    told = repaired(
        bench, monkeypatch, AFTER["calm"], WRECKING, needs_labels, NOTHING
    )["repair"]  # fmt: skip
    rows = {row["strategy"]: row for row in told["candidates"]}
    assert list(rows) == [NOTHING.name, WRECKING.name, needs_labels.name]
    assert told["strategy"] == NOTHING.name
    assert told["agreement"] == rows[NOTHING.name]["agreement"] == 1.0
    assert rows[WRECKING.name]["agreement"] < 0.9
    assert rows[needs_labels.name]["agreement"] is None
    assert rows[needs_labels.name]["reason"] == "no labelled pictures were given"
    kept = load_file(bench.out / FILE)["ctx"]
    assert kept.abs().max() < 5, "the wrecked context was not kept"


def test_labels_teach_what_is_derived_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The half that teaches is not the half that measures."""
    seen: list[Case] = []
    given = labelled(bench, 4)

    def asked(case: Case) -> dict[str, Tensor]:
        seen.append(case)
        return ByLabels(Effort(2, 4)).tensors(case)

    told = repaired(bench, monkeypatch, AFTER["calm"], Made(asked), labelled=str(given))["repair"]
    (case,) = seen
    assert case.labelled is not None
    assert case.labelled.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert told["accuracy"]["pictures"] == 6


def test_answers_alone_are_not_learned_from_where_there_are_labels(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving_nothing(monkeypatch)
    brief = Effort(2, 8)
    every = ByBoth(brief), ByLabels(brief), ByAnswers(brief), NOTHING
    given = str(labelled(bench, 4))
    told = repaired(bench, monkeypatch, AFTER["calm"], *every, labelled=given)["repair"]
    names = {row["strategy"] for row in told["candidates"]}
    assert names == {one.name for one in every} - {ByAnswers().name}
    told = repaired(bench, monkeypatch, AFTER["calm"], *every)["repair"]
    reasons = {row["strategy"]: row["reason"] for row in told["candidates"]}
    wanted = "no labelled pictures were given"
    assert reasons[ByBoth().name] == reasons[ByLabels().name] == wanted


def test_what_could_not_be_cleared_is_repaired_and_what_is_clean_is_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a bank a quiet model is neither; the class that leads takes a suspect's place."""
    monkeypatch.setattr(repair_check, "STRATEGIES", (NOTHING,))
    scores(monkeypatch, AFTER["calm"])
    report = bench.inspect({"conditioned": True}, repair=True)
    assert (report["verdict"], report["repair"]) == ("clean", None)
    assert statuses(report)["repair"] == "not-needed"
    monkeypatch.setattr("inspector.run.stages.found", lambda *_: None)
    report = bench.inspect({"conditioned": True}, repair=True)
    assert report["verdict"] == "inconclusive"
    assert report["target"] is None
    assert report["repair"]["target"]["index"] == 1


def test_where_no_copy_can_be_made_it_is_said_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = repaired(bench, monkeypatch, AFTER["calm"], ByLabels())
    assert report["repair"] is None
    assert "The model could not be repaired: no labelled pictures were given" in report["limits"]
    assert not (bench.out / FILE).exists()


def test_prompts_in_both_encoders_are_repaired_as_any(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that MaPLe learns comes out, in the file's types, and the encoders do not."""
    monkeypatch.setattr(tuning, "MOST_ENCODED", 64)
    state = file_of("MaPLe", bench.backbone, NAMES)
    artifact = save_dassl(bench.folder / "model.pth.tar-5", state, 5)
    read = bench.folder / "read"
    read.mkdir()
    reading = read_here(artifact, read, ReaderOptions())
    assert reading.canonical
    scores(monkeypatch, *BEFORE, AFTER["calm"])
    brief = ByAnswers(Effort(2, 8)), ReAlignment(Effort(2, 8)), Unlearning(), NOTHING
    monkeypatch.setattr(repair_check, "STRATEGIES", brief)
    report = bench.inspect_read(reading, read / reading.canonical, repair=True)
    rows = {row["strategy"]: row["reason"] for row in report["repair"]["candidates"]}
    assert rows.keys() == {one.name for one in brief}
    assert rows[Unlearning().name] is None
    with safe_open(bench.out / FILE, "pt") as file:
        names = set(file.keys())
        assert file.metadata() == {"parent_sha256": reading.artifact.sha256}
    learned = ("ctx", "proj.", "compound_prompts_text.", "compound_prompt_projections.")
    assert names == {name for name in state if name.startswith(
        tuple(f"prompt_learner.{part}" for part in learned))}  # fmt: skip


def test_labels_without_a_repair_are_refused(bench: Bench) -> None:
    with pytest.raises(RequestError) as caught:
        bench.inspect(labelled=str(labelled(bench, 2)))
    assert caught.value.field == "labelled"


def test_a_repair_that_does_nothing_shows_as_such(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old trigger has exactly the power that the search had found, and every answer stays."""
    monkeypatch.setattr(test_pipeline, "RULE", replace(RULE, max_sweeps=1))
    scores(monkeypatch, BEFORE[0], AFTER["calm"])
    monkeypatch.setattr(repair_check, "STRATEGIES", (NOTHING,))
    report = bench.inspect({"conditioned": True}, repair=True)
    told, row = report["repair"], report["per_class"][1]
    assert told["agreement"] == 1.0
    assert told["target"] == {"index": 1, "name": row["name"]}
    assert told["before"]["margin_gain"] == row["margin_gain"] != 0
    assert told["before"]["excess_asr"] == row["excess_asr"]
    assert told["after"]["excess_asr_of_the_old_trigger"] == pytest.approx(row["excess_asr"])


def test_what_is_measured_is_what_is_delivered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounded to half precision, as the vendor's file is; and searched again with a seed of its own."""
    measured: list[Tensor] = []
    tests: list[TwinTest] = []
    run = TwinTest.run

    def spied(classifier: Classifier, *given: Any) -> Inverted:
        measured.append(classifier.context.detach().clone())
        return measure(classifier, *given)

    def moved(case: Case) -> dict[str, Tensor]:
        return as_it_was(case) | {"ctx": case.classifier.context + 1 / 3}

    def searched(test: TwinTest, targets: list[int], meter: Meter) -> Any:
        tests.append(test)
        measured.append(test.classifier.context.detach().clone())
        assert targets == [0, 1, 2]
        return run(test, targets, meter)

    monkeypatch.setattr("inspector.repair.tournament.measure", spied)
    monkeypatch.setattr(repair_check, "STRATEGIES", (Made(moved),))
    monkeypatch.setattr(TwinTest, "run", searched)
    scores(monkeypatch, *BEFORE, AFTER["calm"])
    recipe = {"conditioned": True, "dtype": torch.float16}
    report = bench.inspect(recipe, repair=True, seed=7)
    kept = load_file(bench.out / FILE)
    assert kept["ctx"].dtype == torch.float16
    assert len(measured) == 2
    for context in measured:
        assert torch.equal(context, kept["ctx"].float())
    (test,) = tests
    assert test.seed == report["repair"]["seed"] == derive_seed(7, "repair check")
    used = {derive_seed(7, "sweep", number) for number in range(RULE.max_sweeps)}
    assert test.seed not in used | {derive_seed(7, "unlearning")}


def test_a_copy_that_cannot_be_computed_is_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(case: Case) -> dict[str, Tensor]:
        return as_it_was(case) | {"ctx": case.classifier.context * float("inf")}

    told = repaired(bench, monkeypatch, AFTER["calm"], Made(endless, "endless"), NOTHING)["repair"]
    assert told["strategy"] == NOTHING.name
    assert "NaN or infinity" in told["candidates"][-1]["reason"]


def test_a_repair_that_cannot_be_checked_is_not_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> Any:
        raise NumericalError("the search")

    monkeypatch.setattr(TwinTest, "run", fail)
    monkeypatch.setattr(repair_check, "STRATEGIES", (NOTHING,))
    scores(monkeypatch, *BEFORE)
    report = bench.inspect({"conditioned": True}, repair=True)
    assert (report["verdict"], report["repair"]) == ("backdoored", None)
    assert statuses(report)["repair"] == "failed"
    assert not (bench.out / FILE).exists()
    assert FILE not in {item["name"] for item in report["artifacts"]}


def test_the_time_that_runs_out_while_it_is_checked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, *BEFORE)

    def now() -> float:
        told = [event for event in bench.events if event.get("stage") == "repair"]
        return 100.0 * (len(told) > 2)  # It begins, one copy is made and its search begins.

    monkeypatch.setattr("inspector.progress.time.monotonic", now)
    report = bench.inspect({"conditioned": True}, repair=True, budget_s=50.0)
    assert (report["verdict"], report["repair"]) == ("backdoored", None)
    assert statuses(report)["repair"] == "budget-exceeded"
    assert not (bench.out / FILE).exists()


def test_no_class_but_the_confirmed_one_is_repaired(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    culprits: list[int] = []

    def asked(case: Case) -> dict[str, Tensor]:
        culprits.append(case.target)
        return as_it_was(case)

    report = repaired(bench, monkeypatch, AFTER["calm"], Made(asked))
    assert culprits == [1] == [report["target"]["index"]]
