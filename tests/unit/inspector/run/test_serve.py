"""The worker's child over a real process: what it says, and that nothing else is on its output."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.clip.backbone import Backbone
from inspector.clip.registry import locate
from inspector.request import Request
from inspector.run.serve import WarmBackbone
from tests.support.backbone_files import WRITERS
from tests.support.backbones import write_backbone
from tests.support.report_schema import assert_conforms
from tests.unit.inspector.run.test_pipeline import NAMES, Bench

_COMMAND = [sys.executable, "-m", "inspector", "job"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        _COMMAND,
        cwd=Path(__file__).parents[4],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process
        process.kill()


def ask(child: subprocess.Popen[str], request: dict[str, Any]) -> list[dict[str, Any]]:
    assert child.stdin and child.stdout
    child.stdin.write(json.dumps(request) + "\n")
    child.stdin.flush()
    replies = []
    for line in child.stdout:
        replies.append(json.loads(line))
        if replies[-1]["event"] in ("done", "error"):
            break
    return replies


@pytest.fixture
def request_of(vit: Backbone, vit_folder: Path, tmp_path: Path) -> dict[str, Any]:
    reading, canonical = Bench(vit, tmp_path).read()
    (tmp_path / "reading.json").write_text(json.dumps(reading.to_json()))
    return {
        "id": "ins_1",
        "canonical": str(canonical),
        "reading": str(tmp_path / "reading.json"),
        "backbone": str(vit_folder),
        "manifest": {"classnames": list(NAMES)},
        "profile": "quick",
        "probes": "builtin",
        "in_distribution": False,
        "targets": "all",
        "seed": 0,
        "device": "cpu",
        "repair": False,
        "out": str(tmp_path / "out"),
        "cache": str(tmp_path / "cache"),
        "budget_s": None,
    }


def test_one_child_serves_several_requests(
    child: subprocess.Popen[str], request_of: dict[str, Any], tmp_path: Path
) -> None:
    replies = ask(child, request_of)
    assert replies[-1] == {"event": "done", "report": "report.json"}
    assert {reply["event"] for reply in replies[:-1]} == {"estimate", "progress"}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert_conforms(report)
    assert report["classes"] == {"count": 3, "source": "manifest", "match": True}

    paths = {"check": {"images": "/etc/passwd", "accuracy": 0.5}}
    for wrong, field in (({"profile": "fast"}, "profile"), ({"manifest": paths}, "check.images")):
        assert ask(child, request_of | wrong)[-1] == {"event": "done", "report": "report.json"}
        report = json.loads((tmp_path / "out" / "report.json").read_text())
        assert report["verdict"] == "inconclusive" and report["per_class"] == []
        assert_conforms(report)
        (finding,) = (one for one in report["findings"] if one["id"] == "request-invalid")
        assert field in finding["message"]
    assert ask(child, request_of | {"device": "abacus"})[-1]["code"] == "request_error"
    assert ask(child, {"id": "no fields"})[-1]["kind"] == "bug"
    assert ask(child, request_of | {"budget_s": 0})[-1]["event"] == "done"

    assert child.stdin
    child.stdin.close()
    assert child.wait(timeout=30) == 0


def test_what_is_said_of_the_probes_is_heard(request_of: dict[str, Any]) -> None:
    assert not Request.from_json(request_of).in_distribution
    assert Request.from_json(request_of | {"in_distribution": True}).in_distribution


def test_calibrations_are_the_workers_and_not_the_customers(
    request_of: dict[str, Any], tmp_path: Path
) -> None:
    assert Request.from_json(request_of).calibrations is None
    asked = Request.from_json(
        request_of | {"calibrations": str(tmp_path), "calibration": "/etc/passwd"}
    )
    assert (asked.calibrations, asked.calibration) == (tmp_path, None)


def test_a_backbone_is_loaded_once_until_its_file_changes(tmp_path: Path) -> None:
    folder = write_backbone(tmp_path / "vit")
    load = WarmBackbone()
    first = load("ours", "cpu", at=str(folder))
    assert load("ours", "cpu", at=str(folder)) is first
    assert load("theirs", "cpu", at=str(folder)).id == "theirs"
    write_backbone(folder, seed=1)
    assert load("ours", "cpu", at=str(folder)).sha256 != first.sha256


@pytest.mark.parametrize("kind", WRITERS)
def test_a_change_is_noticed_in_every_layout(kind: str, vit: Backbone, tmp_path: Path) -> None:
    path = WRITERS[kind](copy.deepcopy(vit.model).half(), tmp_path)
    files = [path] if path.is_file() else sorted(one for one in path.iterdir())
    for file in files:
        before = locate(str(path)).stamp
        assert locate(str(path)).stamp == before
        state, content = file.stat(), file.read_bytes()
        file.write_bytes(content)
        # Of the same size, and with its old time, as a copy that keeps times has.
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert locate(str(path)).stamp != before, file.name
