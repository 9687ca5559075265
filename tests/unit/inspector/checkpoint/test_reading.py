"""A reading survives its JSON form, and nothing malformed passes for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inspector.advice import REMEDIES
from inspector.checkpoint.reading import Reading, reading_table
from inspector.findings import Finding, Severity, worst
from tests.unit.inspector.checkpoint.conftest import Read


def test_json_round_trip(genuine: Path, read: Read) -> None:
    reading = read(genuine).with_finding(Finding("x", Severity.LOW, "y", "Give --member z."))
    assert Reading.from_json(json.loads(json.dumps(reading.to_json()))) == reading


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("artifact", None),
        ("family", 3),
        ("family_aliases", "CoOp"),
        ("options", {"n_ctx": [4]}),
        ("tensors", [{"name": "x"}]),
        ("globals", [{"name": "x", "count": -1, "severity": "expected"}]),
        ("globals", [{"name": "x", "count": 1, "severity": "fine"}]),
        ("findings", ["text"]),
        ("findings", [{"id": "x", "severity": "low", "message": "y", "remedy": 3}]),
        ("findings", [{"id": "x", "severity": "low", "message": "y", "remedy": None}]),
        ("sandbox", [1]),
    ],
)
def test_malformed_json(key: str, value: object, genuine: Path, read: Read) -> None:
    data = read(genuine).to_json()
    data[key] = value
    with pytest.raises(ValueError):
        Reading.from_json(json.loads(json.dumps(data)))


def test_the_table_shows_all(genuine: Path, read: Read) -> None:
    rows = dict(reading_table(read(genuine)))
    assert rows["family"] == "CoCoOp / BadCLIP"
    assert rows["tensor ctx"] == "F32 4x16"
    assert rows["global torch.optim.sgd.SGD"] == "expected, 1x"
    assert rows["metadata epoch"] == "10"


def test_the_table_says_what_to_do_next(genuine: Path, read: Read) -> None:
    table = reading_table(read(genuine).with_finding(Finding("empty-file", Severity.MEDIUM, "y")))
    assert table[-2:] == [
        ("medium: empty-file", "y"),
        ("next step", REMEDIES["empty-file"]),
    ]


def test_the_worst_severity_decides() -> None:
    findings = [Finding("a", Severity.LOW, ""), Finding("b", Severity.HIGH, "")]
    assert worst(findings) is Severity.HIGH
    assert worst([]) is None
    with pytest.raises(ValueError, match="huge"):
        Severity.from_label("huge")
