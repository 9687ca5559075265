"""From evidence to a verdict, and the report of a file that was never read. Without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.calibration import Applied
from inspector.checkpoint import ArtifactInfo, Reading
from inspector.findings import Finding, Severity
from inspector.report import Evidence, Target, build_report, static_report, verdict_of
from tests.support.report_schema import assert_conforms
from tests.unit.inspector.calibration.conftest import bank

CONTRACT = {
    "schema_version", "verdict", "score", "p_value", "threshold", "calibration", "assembly",
    "target", "profile", "seed", "artifact", "canonical_sha256", "backbone", "classes", "per_class",
    "budget", "sandbox", "stages", "findings", "limits", "repair",
}  # fmt: skip
BUDGET = {
    "image_forward", "image_backward", "text_forward", "text_backward", "text_tokens", "flops", "seconds",
    "device", "precision",
}  # fmt: skip
READING = Reading(ArtifactInfo("m.pth", "ab" * 32, 10, "torch-zip"))
APPLIED = Applied(bank(), same_classes=True, same_seed=True)
WHOLE = Evidence(
    "quick",
    0,
    {"id": "b", "sha256": None},
    assembly="plausible",
    is_complete=True,
    calibration=APPLIED,
)
CAT = Target(3, "cat")
ROW = CAT.to_json() | {
    "score": 0.2, "margin": None, "margin_gain": None, "asr": None, "base_asr": None,
    "excess_asr": None, "reference_excess_asr": None, "twin_excess": [0.2], "spaces": {"warp": 0.2},
    "steps": 0, "trigger": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "clean"),
        ({"is_complete": False}, "inconclusive"),
        ({"assembly": "unverified"}, "inconclusive"),
        ({"is_warned": True, "suspect": CAT}, "suspicious"),
        ({"is_warned": True, "is_complete": False}, "inconclusive"),
        ({"confirmed": CAT, "is_warned": True}, "backdoored"),
        ({"confirmed": CAT, "is_complete": False}, "backdoored"),
        ({"confirmed": CAT, "assembly": "unverified"}, "suspicious"),
        ({"calibration": None}, "inconclusive"),
        ({"calibration": None, "is_warned": True}, "suspicious"),
        ({"calibration": None, "confirmed": CAT}, "backdoored"),
        ({"findings": [Finding("non-finite-tensor", Severity.HIGH, "x")]}, "inconclusive"),
        ({"findings": [Finding("pickle-unknown-global", Severity.HIGH, "x")]}, "inconclusive"),
        ({"findings": [Finding("anything", Severity.CRITICAL, "x")]}, "inconclusive"),
        ({"findings": [Finding("state-dict-extra", Severity.LOW, "x")]}, "clean"),
    ],
)
def test_verdict(changes: dict[str, object], verdict: str) -> None:
    assert verdict_of(replace(WHOLE, **changes)) == verdict  # type: ignore[arg-type]


def test_every_field_of_the_contract_is_there() -> None:
    report = build_report(READING, WHOLE)
    assert_conforms(report)
    assert set(report) >= CONTRACT
    assert set(report["budget"]) >= BUDGET
    assert set(report["artifact"]) >= {"sha256", "size", "format", "family"}
    assert set(report["classes"]) == {"count", "source", "match"}


def test_a_target_is_named_only_with_a_verdict_against_it() -> None:
    accused = replace(WHOLE, confirmed=CAT, suspect=CAT, is_warned=True)
    assert build_report(READING, accused)["target"] == {"index": 3, "name": "cat"}
    unverified = replace(accused, assembly="unverified")
    assert build_report(READING, unverified)["target"] == {"index": 3, "name": "cat"}
    assert build_report(READING, WHOLE)["target"] is None


SCORED = replace(
    WHOLE,
    score=0.2,
    family="CoCoOp",
    classes={"count": 2},
    per_class=[{}, {}],
    profile="quick",
    calibration=None,
)


def about_p_value(evidence: Evidence) -> list[str]:
    limits: list[str] = build_report(READING, evidence)["limits"]
    return [sentence for sentence in limits if "p-value" in sentence]


def test_without_a_calibration_the_command_is_named_where_one_can_be_made() -> None:
    (sentence,) = about_p_value(SCORED)
    assert "There is no calibration" in sentence and "therefore no p-value" in sentence
    assert (
        "clipvet calibrate --backbone b --classes FILE --method CoCoOp --profile quick" in sentence
    )
    (sentence,) = about_p_value(replace(SCORED, family="CoOp"))
    assert "--method CoOp " in sentence
    (sentence,) = about_p_value(replace(SCORED, family="MaPLe"))
    assert "MaPLe" in sentence and "clipvet calibrate" not in sentence
    (sentence,) = about_p_value(replace(SCORED, classes={"count": 3}))
    assert "all classes only" in sentence
    assert about_p_value(replace(WHOLE, calibration=None)) == []
    assert build_report(READING, SCORED)["p_value"] is None
    assert build_report(READING, SCORED)["calibration"] is None


def test_with_a_calibration_the_p_value_is_told_and_decides_nothing() -> None:
    applied = Applied(bank(), same_classes=True, same_seed=True)
    calibrated = replace(SCORED, calibration=applied)
    report = build_report(READING, calibrated)
    assert report["p_value"] == 3 / 6
    assert_conforms(report | {"per_class": [], "classes": build_report(READING, WHOLE)["classes"]})
    assert report["calibration"]["id"] == bank().id
    assert report["calibration"]["models"] == 5
    (sentence,) = about_p_value(calibrated)
    assert "5 honest models" in sentence and "There is no calibration" not in sentence
    extreme = build_report(READING, replace(calibrated, score=9.0))
    assert (extreme["p_value"], extreme["verdict"]) == (1 / 6, "clean")
    for score in (None, float("nan")):
        unscored = build_report(READING, replace(calibrated, score=score))
        assert unscored["p_value"] is None
        assert not [sentence for sentence in unscored["limits"] if "p-value" in sentence]


def test_the_schema_tells_what_is_missing_unknown_or_renamed() -> None:
    report = build_report(READING, replace(WHOLE, per_class=[ROW]))
    assert_conforms(report)
    renamed = {("rounds" if key == "steps" else key): value for key, value in ROW.items()}
    for wrong in (
        report | {"won": 0.1},
        {key: value for key, value in report.items() if key != "score"},
        report | {"schema_version": "1"},
        report | {"per_class": [renamed]},
        report | {"per_class": [ROW | {"spaces": {"warp": 1.1}}]},
        report | {"per_class": [ROW | {"twin_excess": ["much"]}]},
        report | {"per_class": [ROW | {"asr": 1.5}]},
    ):
        with pytest.raises(AssertionError):
            assert_conforms(wrong)


def test_numbers_that_are_none_become_null() -> None:
    report = build_report(READING, replace(WHOLE, score=float("inf"), paper={"a": [float("nan")]}))
    assert report["score"] is None
    assert report["paper"] == {"a": [None]}
    json.dumps(report, allow_nan=False)


def test_a_file_that_runs_code() -> None:
    finding = Finding("pickle-code-execution", Severity.CRITICAL, "os.system")
    wish = {"backbone": "pocket", "profile": "quick", "seed": 4, "manifest": {}}
    report = static_report(READING.with_finding(finding), wish)
    assert_conforms(report)
    assert report["verdict"] == "inconclusive"
    assert report["findings"] == [finding.to_json()]
    assert (report["profile"], report["seed"], report["backbone"]["id"]) == ("quick", 4, "pocket")


def test_no_torch_is_imported() -> None:
    code = "import inspector.report, sys; assert not {'torch', 'numpy'} & set(sys.modules)"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
