"""Reports become rows; nonsense becomes a fault."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from worker.faults import ChildFault
from worker.translate import translate


def write(folder: Path, **fields: Any) -> str:
    report = {"verdict": "clean", "artifacts": []} | fields
    (folder / "report.json").write_text(json.dumps(report, indent=1))
    return "report.json"


def listed(name: str, data: bytes = b"data") -> dict[str, str]:
    return {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "media_type": "x/y"}


def test_the_body_is_kept_byte_for_byte(tmp_path: Path) -> None:
    found = translate(tmp_path, write(tmp_path, score=1.50))
    assert found.body.encode() == (tmp_path / "report.json").read_bytes()
    assert found.sha256 == hashlib.sha256(found.body.encode()).hexdigest()


def test_the_summary_holds_what_lists_show(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        verdict="backdoored",
        score=3.0,
        threshold=2.0,
        target={"index": 1, "name": "dog"},
        artifact={"family": "CoCoOp"},
        per_class=[{"index": 0, "excess_asr": 0.1}, {"index": 1, "excess_asr": 0.97}],
        findings=[
            {"id": "a", "severity": "critical", "message": ""},
            {"id": "b", "severity": "low", "message": ""},
            {"id": "c", "severity": "low", "message": ""},
        ],
    )
    summary = translate(tmp_path, name).summary
    assert summary["excess_asr"] == 0.97
    assert summary["finding_counts"] == {"critical": 1, "low": 2}
    assert summary["critical_findings"] == ["a"]
    assert (summary["family"], summary["target"]["name"]) == ("CoCoOp", "dog")


def test_listed_files_are_checked_and_kept(tmp_path: Path) -> None:
    (tmp_path / "trigger-0.png").write_bytes(b"data")
    (tmp_path / "not-listed.png").write_bytes(b"data")
    found = translate(tmp_path, write(tmp_path, artifacts=[listed("trigger-0.png")]))
    (kept,) = found.files
    assert (kept.name, kept.size, kept.media_type) == ("trigger-0.png", 4, "image/png")


@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": "fine"},
        {"verdict": None},
        {"score": float("nan")},
        {"artifacts": [listed("missing.png")]},
        {"artifacts": [listed("../secret")]},
        {"artifacts": [listed("/etc/passwd")]},
        {"artifacts": [listed("link.png")]},
        {"artifacts": [listed("there.png", b"other")]},
        {"artifacts": [listed("there.png"), listed("there.png")]},
        {"artifacts": ["there.png"]},
    ],
)
def test_reports_that_break_the_contract_are_faults(tmp_path: Path, fields: dict[str, Any]) -> None:
    (tmp_path / "there.png").write_bytes(b"data")
    (tmp_path / "link.png").symlink_to("/etc/passwd")
    with pytest.raises(ChildFault) as caught:
        translate(tmp_path, write(tmp_path, **fields))
    assert caught.value.code == "inspection_protocol"


@pytest.mark.parametrize("name", ["report.json", "../report.json", "None"])
def test_a_missing_report_is_a_fault(tmp_path: Path, name: str) -> None:
    with pytest.raises(ChildFault):
        translate(tmp_path, name)
