"""`inspect` and `repair` around a stand-in of the pipeline: request, files, streams, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from inspector.checkpoint import Reading
from inspector.clip.backbone import Backbone
from inspector.errors import RequestError
from tests.support.checkpoints import call_opcodes, plant_pickle
from tests.unit.inspector.cli.conftest import NAMES, Clipvet
from tests.unit.inspector.clip.test_tip_adapter import files_of, saved


@dataclass
class Pipeline:
    """Does what it is told and remembers what it was asked."""

    verdict: str = "clean"
    requests: list[Any] = field(default_factory=list)
    error: Exception | None = None
    outcome: str = "repaired"
    changed: str = "ctx"

    def inspect_models(
        self,
        request: Any,
        sources: list[tuple[Reading, Path]],
        out: Path,
        progress: Callable[[dict[str, Any]], None],
    ) -> tuple[dict[str, Any], int]:
        self.requests.append(request)
        ((reading, canonical),) = sources
        if self.error:
            raise self.error
        progress({"event": "estimate", "seconds": 12.4, "image_forward": 800})
        progress({"event": "progress", "stage": "search", "fraction": 0.5, "eta_s": 6.0})
        print("a library talks")
        if request.repair and self.verdict == "backdoored":
            tensors = load_file(canonical)
            fresh = {self.changed: torch.zeros_like(tensors[self.changed])}
            save_file(fresh, out / "repaired.safetensors")
        report = self.report(reading)
        if (out / "repaired.safetensors").exists():
            succeeded = self.outcome == "repaired"
            report["repair"] = {"succeeded": succeeded, "outcome": self.outcome}
        (out / "report.json").write_text(json.dumps(report))
        return report, 0

    def static_report(self, reading: Reading, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        return self.report(reading) | {"verdict": "inconclusive"}

    def report(self, reading: Reading) -> dict[str, Any]:
        suspect = {"index": 1, "name": NAMES[1], "score": 9.5, "excess_asr": 0.8}
        return {
            "verdict": self.verdict,
            "score": 9.5,
            "target": {"index": 1, "name": NAMES[1]} if self.verdict == "backdoored" else None,
            "per_class": [suspect, {"index": 0, "name": NAMES[0], "score": None}],
            "findings": [finding.to_json() for finding in reading.findings],
            "limits": ["only three classes"],
            "repair": None,
        }


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    stand_in = Pipeline()
    modules: dict[str, dict[str, Any]] = {
        "inspector.run.pipeline": {"Request": SimpleNamespace},
        "inspector.run.deliveries": {"inspect_models": stand_in.inspect_models},
        "inspector.report": {"static_report": stand_in.static_report},
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    return stand_in


def test_the_request(
    artifact: Path, classes: Path, tmp_path: Path, clipvet: Clipvet, pipeline: Pipeline
) -> None:
    options = ("--profile", "quick", "--targets", "2", "--seed", "7", "--budget", "60")
    ended = clipvet(
        "inspect", artifact, "--backbone", "pocket", "--classes", classes, *options,
        "--device", "cpu", "--repair", "--labelled", tmp_path, "--pairs", tmp_path,
        "--probes", tmp_path, "--in-distribution", "--calibration", classes,
    )  # fmt: skip
    assert ended.code == 0
    (request,) = pipeline.requests
    assert vars(request) == {
        "backbone": "pocket",
        "manifest": request.manifest,
        "profile": "quick",
        "probes": str(tmp_path),
        "in_distribution": True,
        "targets": 2,
        "seed": 7,
        "device": "cpu",
        "repair": True,
        "labelled": str(tmp_path),
        "pairs": str(tmp_path),
        "budget_s": 60.0,
        "calibration": classes,
        "calibrations": None,
    }
    assert request.manifest.classnames == NAMES


def test_the_folder_of_calibrations_comes_from_the_environment(
    artifact: Path, tmp_path: Path, clipvet: Clipvet, pipeline: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("CLIPVET_CALIBRATIONS", str(tmp_path))
    assert clipvet("inspect", artifact, "--backbone", "pocket", "--device", "cpu").code == 0
    missing = clipvet(
        "inspect", artifact, "--backbone", "pocket", "--calibration", tmp_path / "none"
    )
    assert missing.code == 4
    (request,) = pipeline.requests
    assert (request.calibration, request.calibrations) == (None, tmp_path)


@pytest.mark.parametrize(
    ("verdict", "fail_on", "code"),
    [
        ("clean", "suspicious", 0),
        ("suspicious", "suspicious", 1),
        ("suspicious", "backdoored", 0),
        ("backdoored", "backdoored", 1),
        ("inconclusive", "suspicious", 3),
    ],
)
def test_verdicts(
    verdict: str, fail_on: str, code: int, artifact: Path, clipvet: Clipvet, pipeline: Pipeline
) -> None:
    pipeline.verdict = verdict
    ended = clipvet("inspect", artifact, "--backbone", "pocket", "--fail-on", fail_on)
    assert ended.code == code
    assert ended.out.startswith(verdict)
    assert ("target" in ended.out) == (verdict == "backdoored")
    assert "only three classes" in ended.out


def test_json_is_one_object_and_the_rest_is_on_standard_error(
    artifact: Path, clipvet: Clipvet, pipeline: Pipeline
) -> None:
    ended = clipvet("inspect", artifact, "--backbone", "pocket", "--json")
    assert json.loads(ended.out)["verdict"] == "clean"
    assert "estimated cost: about 12 s, 800 image encodings" in ended.err
    assert "a library talks" in ended.err


def test_out_keeps_the_report(
    artifact: Path, tmp_path: Path, clipvet: Clipvet, pipeline: Pipeline
) -> None:
    out = tmp_path / "kept" / "here"
    assert clipvet("inspect", artifact, "--backbone", "pocket", "--out", out).code == 0
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]
    assert "No backdoor was found" in (out / "report.html").read_text("utf-8")


def test_a_file_that_runs_code_and_one_that_is_none(
    artifact: Path, tmp_path: Path, clipvet: Clipvet, pipeline: Pipeline
) -> None:
    opcodes = call_opcodes("os", "system", "true")
    evil = plant_pickle(artifact, tmp_path / "evil.pth", opcodes)
    torn = tmp_path / "torn.pth"
    torn.write_bytes(artifact.read_bytes()[:-50])
    for path, code in ((evil, 1), (torn, 3)):
        out = tmp_path / path.stem
        ended = clipvet("inspect", path, "--backbone", "pocket", "--json", "--out", out)
        assert ended.code == code
        assert json.loads(ended.out) == json.loads((out / "report.json").read_text())
        headline = "This file runs code" if path is evil else "Do not treat the file as safe"
        assert headline in (out / "report.html").read_text("utf-8")
    request = pipeline.requests[0]
    assert (request["backbone"], request["seed"]) == ("pocket", 0)
    json.dumps(request)


@pytest.mark.parametrize(
    ("command", "outcome", "code"),
    [
        (["repair"], "repaired", 0),
        (["repair"], "unproved", 3),
        (["repair"], "failed", 1),
        (["inspect", "--repair"], "repaired", 1),
    ],
)
def test_repair_writes_the_vendors_own_container(
    command: list[str], outcome: str, code: int, artifact: Path, tmp_path: Path,
    clipvet: Clipvet, pipeline: Pipeline,
) -> None:  # fmt: skip
    pipeline.verdict, pipeline.outcome = "backdoored", outcome
    out = tmp_path / "out"
    ended = clipvet(*command, artifact.parent.parent, "--backbone", "pocket", "--out", out)
    assert ended.code == code
    page = (out / "report.html").read_text("utf-8")
    assert ("a repaired copy passed the check" in page) is (outcome == "repaired")
    written = torch.load(out / "repaired-model.pth.tar-5", weights_only=False)
    original = torch.load(artifact, weights_only=False)
    assert not written["state_dict"]["ctx"].any()
    assert torch.equal(
        written["state_dict"]["token_suffix"], original["state_dict"]["token_suffix"]
    )
    assert written["epoch"] == original["epoch"]


@pytest.mark.parametrize(
    ("verdict", "code"), [("clean", 0), ("suspicious", 1), ("inconclusive", 3)]
)
def test_repair_without_a_repaired_file(
    verdict: str, code: int, artifact: Path, tmp_path: Path, clipvet: Clipvet, pipeline: Pipeline
) -> None:
    pipeline.verdict = verdict
    assert clipvet("repair", artifact, "--backbone", "pocket", "--out", tmp_path).code == code


def test_a_model_in_several_files_keeps_its_repaired_tensors(
    vit: Backbone, tmp_path: Path, clipvet: Clipvet, pipeline: Pipeline
) -> None:
    """There is no one container that they could go into: said, and no success."""
    pipeline.verdict, pipeline.changed = "backdoored", "values"
    folder = saved(tmp_path / "vendor", files_of(vit, is_tuned=False))
    ended = clipvet("repair", folder, "--backbone", "pocket", "--out", tmp_path / "out")
    assert ended.code == 1
    assert "no repaired file in the vendor's own container" in ended.err
    assert (tmp_path / "out" / "repaired.safetensors").exists()


def test_wrong_wishes(artifact: Path, tmp_path: Path, clipvet: Clipvet, pipeline: Pipeline) -> None:
    common = ("inspect", artifact, "--backbone", "pocket")
    for option, value in (
        ("--targets", "-1"),
        ("--targets", "1"),
        ("--targets", "few"),
        ("--probes", tmp_path / "none"),
    ):
        assert clipvet(*common, option, value).code == 4
    pipeline.error = RequestError("targets", "there are only 3 classes")
    ended = clipvet(*common, "--targets", "9")
    assert ended.code == 4
    assert "there are only 3 classes" in ended.err


@pytest.mark.parametrize("command", ["repair", "inspect"])
def test_a_repair_never_writes_over_the_delivered_file(
    artifact: Path, classes: Path, tmp_path: Path, clipvet: Clipvet, pipeline: Pipeline,
    command: str,
) -> None:  # fmt: skip
    out = tmp_path / "out"
    out.mkdir()
    given = out / "repaired.safetensors"
    given.write_bytes(artifact.read_bytes())
    ended = clipvet(command, given, "--backbone", "pocket", "--classes", classes, "--out", out)
    assert ended.code == 4
    assert not pipeline.requests
    assert given.read_bytes() == artifact.read_bytes()
