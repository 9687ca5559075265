"""The bench of whole repairs runs the product, and judges what it delivers by the planted trigger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.profiles import PROFILES, Profile
from inspector.repair.rederive import ByBoth
from inspector.repair.tuning import Effort
from inspector.run import repair_check
from tests.bench import repair, whole_repair
from tests.bench.appended import read
from tests.support.small import SMALL
from tests.zoo import build as zoo
from tests.zoo.make import backbone_named

LEAST = replace(SMALL, num_eval=8, screened=1, trial=1, steps=1, finalists=3, batch=2)
BRIEF = Effort(2, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was tuned for a moment, and beside it an honest one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "USUAL", zoo.Effort(8, 8))
        zoo._clean_model.cache_clear()
        out = tmp_path_factory.mktemp("zoo")
        for kind in ("clean", "popular"):
            repair.subject_of(out / f"places5-7-{kind}", backbone_named("pocket"))
    return out / "places5-7-popular"


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(zoo, "USUAL", zoo.Effort(8, 8))
    monkeypatch.setitem(PROFILES, "standard", Profile("standard", 64, 64, LEAST))
    monkeypatch.setattr("inspector.twins.linear.STEPS", 5)
    monkeypatch.setattr("inspector.detection.twin_test.RANDOM_EVAL", 8)
    monkeypatch.setattr(repair_check, "STRATEGIES", (ByBoth(BRIEF),))
    monkeypatch.setattr("inspector.repair.rederive.LEAST_SHARED", 0.0)
    monkeypatch.setattr(whole_repair, "SHOTS", 4)
    yield
    zoo._clean_model.cache_clear()


def test_a_row_a_model_and_what_is_done_is_not_done_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "whole.csv"
    for _ in range(2):
        whole_repair.main([str(folder), "--out", str(table), "--given", "labels"])
    (row,) = read(table)
    assert row["strategy"] == ByBoth().name
    assert row["told_before"] and row["told_after"]
    assert row["word"] in ("repaired", "unproved", "failed")
    assert float(row["cost"]) > 0
    subject = repair.subject_of(folder, backbone_named("pocket"))
    accuracy, excess = subject.figures(subject.classifier)
    assert float(row["accuracy_before"]) == pytest.approx(accuracy, abs=1e-4)
    assert float(row["excess_before"]) == pytest.approx(excess, abs=1e-4)
    honest = whole_repair.honest_excess(subject, folder)
    assert float(row["excess_honest"]) == pytest.approx(honest, abs=1e-4)
    assert row["again"] in ("clean", "suspicious", "backdoored", "inconclusive")
    assert -1 <= float(row["excess_after"]) <= 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("labels: 1 attacked models: ") for line in lines)


@pytest.mark.parametrize(
    ("accuracy", "excess", "is_false"),
    [("0.88", "0.10", False), ("0.88", "0.11", True), ("0.86", "0.0", True)],
)
def test_a_repair_is_false_that_keeps_the_attack_or_loses_the_task(
    accuracy: str, excess: str, is_false: bool
) -> None:
    row = {
        "model": "one", "given": "labels", "poison": "", "word": "repaired",
        "excess_before": "0.8", "excess_after": excess, "excess_honest": "",
        "accuracy_before": "0.9", "accuracy_after": accuracy, "again": "clean", "cost": "2.0",
    }  # fmt: skip
    assert whole_repair.is_false(row) is is_false
    lines = list(whole_repair.summary([row]))
    assert ("labels: of 1 called repaired 1 falsely: one" in lines) is is_false
    assert any("cost of a repair in the median 2.00 inspections" in line for line in lines)
