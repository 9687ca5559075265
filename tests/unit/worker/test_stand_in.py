"""The stand-in inspector says and writes what the real child does: one schema for both.

A worker inspects the same file twice with the same wishes, once by the real child and once by the
stand-in. Both are processes of their own; their lines are taken down where the worker reads them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from inspector.clip.backbone import load_backbone
from inspector.errors import FaultKind
from inspector.files import problem_of, read_json
from inspector.progress import EVENTS_SCHEMA
from inspector.run.pipeline import REPORT_NAME, STAGES
from tests.golden import golden
from tests.golden.keys import keys_of
from tests.support import stand_in_inspector
from tests.support.backbones import write_backbone
from tests.support.banked import applied
from tests.support.ledger import Ledger, settings_in
from tests.support.prompts import Recipe, tune
from tests.support.report_schema import assert_conforms
from worker.child import InspectionChild
from worker.runner import Runner

COMMANDS = {
    "real": [sys.executable, "-I", "-m", "inspector", "job"],
    "stand-in": [sys.executable, stand_in_inspector.__file__],
}
NAMES = ("cat", "dog", "red car")
Line = dict[str, Any]
_PATHS = ("id", "reading", "canonical", "out")
"""Fields of a request that no two jobs share."""


class Heard:
    """What a child was asked, job by job its lines, and the reports that it left."""

    def __init__(self) -> None:
        self.requests: list[Line] = []
        self.jobs: list[list[Line]] = []
        self.reports: list[Line] = []

    @property
    def lines(self) -> list[Line]:
        return [line for job in self.jobs for line in job]

    @property
    def stages(self) -> list[list[str]]:
        """Of each job, every stage once, in the order in which it was first told."""
        told = [[line["stage"] for line in job if line["event"] == "progress"] for job in self.jobs]
        return [list(dict.fromkeys(stages)) for stages in told]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Heard]:
    """A whole inspection, and one that fails."""
    folder = tmp_path_factory.mktemp("both")
    backbone = str(write_backbone(folder / "vit"))
    recipe = Recipe(classnames=NAMES, conditioned=True)
    checkpoint = tune(load_backbone(backbone).model, recipe).save(folder).read_bytes()
    return {name: _asked(folder / name, name, backbone, checkpoint) for name in COMMANDS}


def _asked(folder: Path, name: str, backbone: str, checkpoint: bytes) -> Heard:
    told, ask = Heard(), InspectionChild.ask

    def listen(child: InspectionChild, request: Line, silence_s: float) -> Iterator[Line]:
        if told.jobs:  # The real child refuses that device; the stand-in is ordered to.
            request = request | {"device": "abacus"}
        told.requests.append(request)
        told.jobs.append([])
        for line in ask(child, request, silence_s):
            told.jobs[-1].append(line)
            yield line

    settings = settings_in(
        folder, inspector_command=COMMANDS[name], backbones={"tiny": backbone}, device="cpu"
    )
    ledger = Ledger(settings)
    runner = Runner(settings, ledger.context.database, ledger.context.store, "test/1")
    refused = {"error": {"kind": "customer", "code": "request_error", "message": "as told"}}
    patch = pytest.MonkeyPatch()
    patch.setattr(InspectionChild, "ask", listen)
    try:
        for orders in ({}, refused):
            row = ledger.inspection(
                ledger.upload(checkpoint)["id"], backbone="tiny", classes=None, profile="quick",
                manifest={"classnames": list(NAMES), "stand_in": orders}, seed=3, repair=True,
            )  # fmt: skip
            assert runner.run()
            seen = ledger.get(row["id"])
            assert seen["status"] == ("failed" if orders else "succeeded"), seen["error"]
            if not orders:
                told.reports.append(ledger.api.get(seen["links"]["report_json"]).json())
    finally:
        patch.undo()
        runner.close()
        ledger.close()
    return told


def test_both_are_asked_the_same(heard: dict[str, Heard]) -> None:
    asked = [
        [{key: value for key, value in one.items() if key not in _PATHS} for one in each.requests]
        for each in heard.values()
    ]
    assert len(asked[0]) == 2
    assert asked[0] == asked[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_line_is_what_the_schema_says(heard: dict[str, Heard], name: str) -> None:
    schema = read_json(EVENTS_SCHEMA)
    lines = heard[name].lines
    assert {line["event"] for line in lines} == {"progress", "estimate", "done", "error"}
    assert [(line, problem_of(line, schema)) for line in lines if problem_of(line, schema)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_job_ends_once_and_its_fraction_never_falls(heard: dict[str, Heard], name: str) -> None:
    whole, broken = heard[name].jobs
    assert [line["event"] for line in (whole[-1], broken[-1])] == ["done", "error"]
    for job in (whole, broken):
        assert not {"done", "error"} & {line["event"] for line in job[:-1]}
    fractions = [line["fraction"] for line in whole if line["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert [line["event"] for line in whole].count("estimate") == 1


def test_the_stand_in_tells_stages_of_the_real_child_in_its_order(heard: dict[str, Heard]) -> None:
    real, told = heard["real"].stages[0], heard["stand-in"].stages[0]
    assert told and told == [stage for stage in real if stage in told]
    assert real == [stage for stage in STAGES if stage in real]


def test_the_schema_knows_the_stages_and_faults_that_there_are() -> None:
    rules = read_json(EVENTS_SCHEMA)["definitions"]
    assert rules["progress"]["properties"]["stage"]["enum"] == list(STAGES)
    assert rules["error"]["properties"]["kind"]["enum"] == list(get_args(FaultKind))
    assert rules["done"]["properties"]["report"]["const"] == REPORT_NAME


@pytest.mark.parametrize(
    "line",
    [
        {"event": "progress", "stage": "inversion", "fraction": 0.5, "eta_s": 1.0},
        {"event": "progress", "stage": "remedy", "fraction": 0.5, "eta_s": 1.0, "message": ""},
        {"event": "progress", "stage": "judge", "fraction": 1.5, "eta_s": 1.0, "message": ""},
        {"event": "progress", "stage": "judge", "fraction": 0, "eta_s": -1, "message": ""},
        {"event": "estimate", "seconds": 1.0, "image_forward": 1, "steps": 2},
        {"event": "error", "kind": "final", "code": "as_told", "message": "m"},
        {"event": "error", "code": "as_told", "message": "m", "retry": False},
        {"event": "done", "report": "other.json"},
        {"event": "ready"},
    ],
)
def test_the_stand_in_cannot_say_what_the_real_child_never_would(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="never says"):
        stand_in_inspector.say(**line)
    assert capsys.readouterr().out == ""


def test_both_reports_have_the_same_keys_where_both_found_something(
    heard: dict[str, Heard],
) -> None:
    real, made_up = (heard[name].reports[0] for name in COMMANDS)
    for report in (real, made_up):
        assert_conforms(report)
    pinned = golden.pinned("keys")
    known = set().union(*pinned.values()) | set(keys_of(real))
    # Golden cases have few pictures, so that no bank applies to them.
    known |= set(keys_of({"calibration": applied().to_json()}))
    # Golden cases happen to have no class that was searched again after its repair.
    known |= {path.replace("repair.before.", "repair.after.") for path in known}
    assert set(keys_of(made_up)) - known == set(), "it reports what the real one never does"
    assert set(made_up) == set(real)
    assert {key for row in made_up["per_class"] for key in row} == set(real["per_class"][0])
    repaired = _top(pinned["conditioned, repaired"], "repair"), _top(keys_of(made_up), "repair")
    assert repaired[0] == repaired[1]


def _top(paths: Iterable[str], part: str) -> set[str]:
    """Keys below `part`, and below these; random triggers and figures of triggers are left out."""
    below = (path.split(".") for path in paths if path.startswith(f"{part}."))
    return {".".join(path[1:3]) for path in below}
