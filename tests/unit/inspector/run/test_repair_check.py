"""What a repair is said to have done: when it is a success, when not, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from inspector.clip.classifier import Classifier
from inspector.detection.evidence import Inverted
from inspector.detection.inversion import SearchConfig
from inspector.detection.seeds import derive_seed
from inspector.detection.sequential import SequentialTest
from inspector.detection.sweep import measure
from inspector.errors import NumericalError
from inspector.progress import Meter
from inspector.run import repair_check
from tests.unit.inspector.run import test_pipeline
from tests.unit.inspector.run.test_pipeline import RULE, Bench, scores, statuses
from tests.unit.inspector.run.test_stages import bench

__all__ = ["bench"]  # A fixture.
FILE = "repaired.safetensors"
AFTER = {"warned": RULE.warn, "accused": RULE.flag + 6, "calm": RULE.warn - 1.01}
BEFORE = (9.0, 9.0)
"""Of the two sweeps that accuse; every later score is that of the repaired model."""
Repair = Callable[..., dict[str, Tensor]]


def nothing(
    classifier: Classifier,
    found: tuple[int, Tensor],
    probes: Tensor,
    config: SearchConfig,
    seed: int,
) -> dict[str, Tensor]:
    """A repair that changes nothing."""
    assert classifier.meta_net is not None
    own = {f"meta_net.{name}": value for name, value in classifier.meta_net.state_dict().items()}
    return {name: value.clone() for name, value in ({"ctx": classifier.context} | own).items()}


def wrecking(classifier: Classifier, *given: Any) -> dict[str, Tensor]:
    """A repair after which another model is there."""
    noise = torch.randn(classifier.context.shape, generator=torch.Generator().manual_seed(0))
    return nothing(classifier, *given) | {"ctx": 5 * noise}


def repaired(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, after: float, repair: Repair | None = None
) -> dict[str, Any]:
    scores(monkeypatch, *BEFORE, after)
    if repair is not None:
        monkeypatch.setattr(repair_check, "repair", repair)
    report = bench.inspect({"conditioned": True}, repair=True)
    assert report["verdict"] == "backdoored"
    return report


@pytest.mark.parametrize(
    ("after", "excess", "succeeded"),
    [
        ("calm", -0.2, True), ("calm", 0.0999, True), ("calm", 0.1001, False), ("calm", 0.6, False),
        ("warned", 0.0, False), ("accused", 0.0, False), ("accused", 0.6, False),
    ],
)  # fmt: skip
def test_a_success_needs_a_calm_search_and_an_old_trigger_without_power(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, after: str, excess: float, succeeded: bool
) -> None:
    """Both of them: either alone is none."""

    def measured(*given: Any) -> Inverted:
        return replace(measure(*given), asr=0.3 + excess, base_asr=0.3)

    monkeypatch.setattr(repair_check, "measure", measured)
    report = repaired(bench, monkeypatch, AFTER[after], nothing)
    told = report["repair"]
    assert told["succeeded"] is succeeded
    assert told["after"]["is_suspicious"] is (after != "calm")
    assert told["after"]["score"] == AFTER[after]
    assert told["before"]["score"] == BEFORE[-1] == report["score"]
    assert told["after"]["excess_asr_of_the_old_trigger"] == pytest.approx(excess)


def test_a_repair_that_does_nothing_shows_as_such(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old trigger has exactly the power that the search had found, and every answer stays."""
    monkeypatch.setattr(test_pipeline, "RULE", replace(RULE, max_sweeps=1))
    scores(monkeypatch, BEFORE[0], AFTER["calm"])
    monkeypatch.setattr(repair_check, "repair", nothing)
    report = bench.inspect({"conditioned": True}, repair=True)
    told, row = report["repair"], report["per_class"][1]
    assert told["agreement"] == 1.0
    assert told["target"] == {"index": 1, "name": row["name"]}
    assert told["before"]["excess_asr"] == row["excess_asr"] != 0
    assert told["after"]["excess_asr_of_the_old_trigger"] == pytest.approx(row["excess_asr"])


def test_another_model_is_told_by_its_agreement(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = repaired(bench, monkeypatch, AFTER["calm"], wrecking)["repair"]
    assert told["agreement"] < 0.9


def test_what_is_measured_is_what_is_delivered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounded to half precision, as the vendor's file is; and searched again with a seed of its own."""
    measured: list[Tensor] = []
    tests: list[SequentialTest] = []
    run = SequentialTest.run

    def spied(classifier: Classifier, *given: Any) -> Inverted:
        measured.append(classifier.context.detach().clone())
        return measure(classifier, *given)

    def searched(test: SequentialTest, targets: list[int], meter: Meter) -> Any:
        tests.append(test)
        measured.append(test.classifier.context.detach().clone())
        assert targets == [0, 1, 2]
        return run(test, targets, meter)

    monkeypatch.setattr(repair_check, "measure", spied)
    monkeypatch.setattr(SequentialTest, "run", searched)
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


@pytest.mark.parametrize("at", ["the repair", "the search"])
def test_a_repair_that_cannot_be_checked_is_not_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def fail(*given: Any) -> Any:
        raise NumericalError(at)

    owner, name = (repair_check, "repair") if at == "the repair" else (SequentialTest, "run")  # type: tuple[Any, str]
    monkeypatch.setattr(owner, name, fail)
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
        return 100.0 * (len(told) > 2)  # It begins, and so does its search of two classes.

    monkeypatch.setattr("inspector.progress.time.monotonic", now)
    report = bench.inspect({"conditioned": True}, repair=True, budget_s=50.0)
    assert (report["verdict"], report["repair"]) == ("backdoored", None)
    assert statuses(report)["repair"] == "budget-exceeded"
    assert not (bench.out / FILE).exists()


def test_no_class_but_the_confirmed_one_is_repaired(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    culprits: list[int] = []

    def asked(classifier: Classifier, found: tuple[int, Tensor], *given: Any) -> dict[str, Tensor]:
        culprits.append(found[0])
        return nothing(classifier, found, *given)

    report = repaired(bench, monkeypatch, AFTER["calm"], asked)
    assert culprits == [1] == [report["target"]["index"]]
