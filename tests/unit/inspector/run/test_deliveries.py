"""Every model of a file is inspected on the real backbone, and the worst verdict counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from inspector.calibration import Applied
from inspector.checkpoint import ArtifactInfo, Reading
from inspector.cli.entry import main
from inspector.findings import Finding, Severity
from inspector.report import Evidence, build_report, worst_report
from tests.support.report_schema import assert_conforms
from tests.unit.inspector.calibration.conftest import bank

SAMPLES = Path(__file__).parents[4] / "app" / "samples"
READING = Reading(ArtifactInfo("m.pth", "ab" * 32, 10, "torch-zip"), state="state_dict")


def sample(name: str) -> dict[str, Any]:
    (path,) = (SAMPLES / name).glob("model.pth.tar-*")
    content: dict[str, Any] = torch.load(path, weights_only=False)
    return content


def test_a_backdoored_copy_that_timm_would_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = sample("clean") | {"state_dict_ema": sample("backdoored")["state_dict"]}
    torch.save(two, tmp_path / "model.pth")
    arguments = ["inspect", str(tmp_path / "model.pth"), "--backbone", "pocket", "--json"]
    arguments += ["--manifest", str(SAMPLES / "manifest.json"), "--profile", "quick"]
    arguments += ["--probes", str(SAMPLES / "pictures.zip"), "--in-distribution"]
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--out", str(tmp_path / "out")])
    report = json.loads(capsys.readouterr().out)
    assert (caught.value.code, report["verdict"]) == (1, "backdoored")
    assert_conforms(report)
    assert report["artifact"]["state"] == "state_dict_ema"
    assert [(m["state"], m["verdict"], m["is_reported"]) for m in report["models"]] == [
        ("state_dict", "clean", False),
        ("state_dict_ema", "backdoored", True),
    ]
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert {artifact["name"] for artifact in report["artifacts"]} | {
        "report.json",
        "report.html",
    } == left
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def report_of(verdict: str, **found: Any) -> dict[str, Any]:
    evidence = Evidence("quick", 0, {"id": "b", "sha256": None}, **found)
    return build_report(READING, evidence) | {"verdict": verdict}


@pytest.mark.parametrize(
    ("verdicts", "place"),
    [
        (["clean", "clean"], 0),
        (["clean", "inconclusive"], 1),
        (["suspicious", "inconclusive"], 0),
        (["suspicious", "clean", "backdoored"], 2),
    ],
)
def test_the_worst_verdict_counts(verdicts: list[str], place: int) -> None:
    report, found = worst_report([report_of(verdict) for verdict in verdicts])
    assert (found, report["verdict"]) == (place, verdicts[place])
    assert [model["is_reported"] for model in report["models"]].index(True) == place
    told = [f for f in report["findings"] if f["id"] == "other-model-inspected"]
    assert len(told) == len(verdicts) - 1
    assert all(finding["remedy"] for finding in told)


def test_a_file_that_runs_code_comes_before_a_suspicion() -> None:
    code = Finding("pickle-code-execution", Severity.CRITICAL, "it would run os.system")
    report, place = worst_report(
        [report_of("suspicious"), report_of("inconclusive", findings=[code])]
    )
    assert (place, report["verdict"]) == (1, "inconclusive")
    accused, place = worst_report(
        [report_of("inconclusive", findings=[code]), report_of("backdoored")]
    )
    assert (place, accused["verdict"]) == (1, "backdoored")
    assert "pickle-code-execution" in {finding["id"] for finding in accused["findings"]}


def test_what_another_model_shows_is_not_lost() -> None:
    changed = Finding("encoder-changed", Severity.HIGH, "the image encoder is another one")
    models = [report_of("clean"), report_of("clean", findings=[changed])]
    first, place = worst_report([models[0] | {"score": 0.1}, models[1] | {"score": 0.1}])
    assert place == 0
    assert [f["id"] for f in first["findings"]].count("encoder-changed") == 1
    higher, place = worst_report([models[0] | {"score": 0.1}, models[1] | {"score": 1.9}])
    assert (place, higher["score"]) == (1, 1.9)


@pytest.mark.parametrize("finding", ["other-model", "loader-differs"])
def test_a_model_that_was_not_inspected_forbids_clean(finding: str) -> None:
    whole = Evidence(
        "quick", 0, {"id": "b", "sha256": None}, assembly="plausible", is_complete=True,
        calibration=Applied(bank(), same_classes=True, same_seed=True),
    )  # fmt: skip
    assert build_report(READING, whole)["verdict"] == "clean"
    whole.findings.append(Finding(finding, Severity.MEDIUM, "x"))
    assert build_report(READING, whole)["verdict"] == "inconclusive"
