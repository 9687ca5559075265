"""SARIF, JUnit and annotations of GitHub, by the schemas and readers of others; hostile texts in all of them."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from lxml import etree

from app.client.gate import orders
from app.client.gate.outcome import Outcome
from app.client.gate.submission import tell
from tests.client.gating import Gate
from tests.hostile import assemble
from tests.hostile.boxes import torch_zip

SCHEMAS = Path(__file__).with_name("schemas")
SARIF = json.loads((SCHEMAS / "sarif-schema-2.1.0.json").read_text())
JUNIT = etree.XMLSchema(etree.parse(SCHEMAS / "junit-10.xsd"))
NASTY = "a\n::error::b\r##[add-mask]c %0A \x1b[31m]]> <x a='\"&> \u202e \ud800 \x00 \ufffe end"
EVALUATION = {
    "policy": {"name": "p", "version": 3},
    "result": "fail",
    "rules": [
        {"rule": "verdict", "status": "passed", "found": "", "message": "as wanted", "remedy": ""},
        {"rule": "profile", "status": "failed", "found": NASTY, "message": NASTY, "remedy": NASTY},
        {"rule": "age", "status": "waived", "found": "old", "message": "old, waived", "remedy": ""},
    ],
}


def outcome(verdict: str | None = "backdoored", path: str = "models/m.pth", **row: Any) -> Outcome:
    ended: dict[str, Any] = {
        "id": "insp_1",
        "status": "succeeded",
        "verdict": verdict,
        "result": "pass" if verdict == "clean" else "fail",
        "summary": {
            "critical_findings": [],
            "target": {"index": 1, "name": NASTY} if verdict == "backdoored" else None,
            "excess_asr": 0.91,
        },
        "error": None,
        "artifact": {"sha256": "0" * 64, "size": 9},
        "backbone": "pocket",
        "profile": "quick",
        "started_at": "2026-11-29T10:00:00.5Z",
        "finished_at": "2026-11-29T10:01:00Z",
    }
    findings = [
        {"id": "unknown-key", "severity": "medium", "message": NASTY, "remedy": NASTY},
        {"id": "polyglot", "severity": "high", "message": "two", "cwe": "CWE-436", "atlas": "A.1"},
        {"id": "prefix-stripped", "severity": "info", "message": "x", "remedy": "", "cwe": None},
    ]
    links = {"report_html": "http://h/v1/inspections/insp_1/report.html", "self": "http://h/self"}
    report = {"findings": findings} if ended | row == ended else {}
    return Outcome(Path(path), ended | row, report, links=links)


OUTCOMES = {
    "clean": outcome("clean"),
    "suspicious": outcome("suspicious"),
    "backdoored": outcome(),
    "inconclusive": outcome("inconclusive"),
    "a policy": Outcome(
        Path("/tmp/with space/ü#?%:a,b.pth"),
        outcome().row,
        outcome().report,
        EVALUATION,
        outcome().links,
    ),
    "failed": outcome(
        status="failed",
        verdict=None,
        result=None,
        summary=None,
        error={"code": "inspection_failed", "message": NASTY},
        started_at=None,
    ),
    "canceled": outcome(status="canceled", verdict=None, result=None, summary=None),
}


@pytest.fixture(params=OUTCOMES, name="one")
def _one(request: pytest.FixtureRequest) -> Outcome:
    return OUTCOMES[request.param]


def check_sarif(text: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(text)
    validator = jsonschema.Draft4Validator(SARIF, format_checker=jsonschema.FormatChecker())
    assert [error.message for error in validator.iter_errors(log)] == []
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    return log


def check_junit(text: str) -> Any:
    tree = etree.fromstring(text.encode())
    JUNIT.assertValid(tree)
    (suite,) = tree.findall("testsuite")
    assert int(suite.get("tests")) == len(suite.findall("testcase"))
    for kind in ("failure", "error"):
        counted = suite.get({"failure": "failures", "error": "errors"}[kind])
        assert int(counted) == len(suite.findall(f"testcase/{kind}"))
    return suite


def test_junit_tells_of_every_rule_that_fails_not_of_the_last_of_its_kind() -> None:
    rules = [
        {"rule": "findings", "status": status, "found": name, "message": name, "remedy": ""}
        for name, status in (("a is high", "failed"), ("b is high", "waived"))
    ]
    evaluation = EVALUATION | {"rules": rules}
    one = outcome("clean")
    suite = check_junit(tell(Outcome(one.artifact, one.row, {}, evaluation, one.links), "junit"))
    (failed,) = [case for case in suite.findall("testcase") if case.find("failure") is not None]
    assert failed.get("name") == "policy findings: a is high"


def test_sarif_fits_the_official_schema(one: Outcome) -> None:
    run = check_sarif(tell(one, "sarif"))["runs"][0]
    assert run["invocations"][0]["exitCode"] == one.exit_code
    assert run["invocations"][0]["executionSuccessful"] == (one.row["status"] == "succeeded")
    levels = {result["level"] for result in run["results"] if result["properties"]["blocks"]}
    assert levels == (set() if one.is_open else {"error"})


def test_a_validator_that_sees_faults() -> None:
    log = json.loads(tell(outcome(), "sarif"))
    wrong = deepcopy(log)
    wrong["runs"][0]["results"][0]["level"] = "loud"
    assert not jsonschema.Draft4Validator(SARIF).is_valid(wrong)
    suite = etree.fromstring(tell(outcome(), "junit").encode())
    del suite[0].attrib["name"]
    assert not JUNIT.validate(suite)


def test_sarif_of_other_bytes_or_remarks_has_other_fingerprints() -> None:
    prints = [
        result["partialFingerprints"]["clipvet/v1"]
        for result in json.loads(tell(outcome(), "sarif"))["runs"][0]["results"]
    ]
    assert len(set(prints)) == len(prints)
    other = outcome(artifact={"sha256": "1" * 64, "size": 9})
    assert not set(prints) & {other.fingerprint(remark) for remark in outcome().remarks()}


def test_sarif_names_weaknesses_and_paths() -> None:
    run = check_sarif(tell(OUTCOMES["a policy"], "sarif"))["runs"][0]
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert "external/cwe/cwe-436" in rules["polyglot"]["properties"]["tags"]
    uri = run["artifacts"][0]["location"]["uri"]
    assert uri == "file:///tmp/with%20space/%C3%BC%23%3F%25%3Aa%2Cb.pth"
    relative = json.loads(tell(outcome(path="a:b #/ü.pth"), "sarif"))["runs"][0]["artifacts"][0]
    assert relative["location"]["uri"] == "a%3Ab%20%23/%C3%BC.pth"


def test_junit_fits_the_schema_and_fails_where_the_gate_is_shut(one: Outcome) -> None:
    suite = check_junit(tell(one, "junit"))
    failing = suite.findall("testcase/failure") + suite.findall("testcase/error")
    assert bool(failing) == (not one.is_open)
    assert (suite.get("errors") != "0") == (one.row["status"] != "succeeded")
    for failure in failing:
        assert failure.text.rstrip().endswith(f"Report: {one.page}")
    names = [case.get("name") for case in suite.findall("testcase")]
    assert names[0] == "verdict"
    if one.evaluation:
        rules = {name.partition(":")[0] for name in names}
        assert {"policy verdict", "policy profile", "policy age"} <= rules


_COMMAND = re.compile(r"::(?P<command>[a-z]+) (?P<properties>[^:]*)::(?P<data>.*)")


def as_runner(line: str) -> tuple[str, dict[str, str], str]:
    """As GitHub's runner reads it (actions/runner, src/Runner.Common/ActionCommand.cs)."""
    found = _COMMAND.fullmatch(line)
    assert found is not None, line
    properties = dict(one.split("=", 1) for one in found["properties"].split(","))

    def data(text: str) -> str:
        return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")

    def plainly(text: str) -> str:
        return data(text.replace("%3A", ":").replace("%2C", ","))

    return (
        found["command"],
        {name: plainly(v) for name, v in properties.items()},
        data(found["data"]),
    )


def test_every_line_for_github_is_one_command_of_ours(one: Outcome) -> None:
    read = [as_runner(line) for line in tell(one, "github").splitlines()]
    assert len(read) == max(1, len(one.remarks()))
    for command, properties, data in read:
        assert command in ("error", "warning", "notice")
        assert properties.keys() == {"title", "file"}
        assert properties["file"] == str(one.artifact)
        assert properties["title"].startswith("clipvet")
        assert "##[" not in data
    shut = [data for command, _, data in read if f"Report: {one.page}" in data]
    assert bool(shut) == (not one.is_open)
    assert (read[0][0] == "error") == (not one.is_open)


def test_github_is_told_no_more_than_it_shows() -> None:
    many = [{"id": f"f-{n}", "severity": "high", "message": str(n)} for n in range(30)]
    full = Outcome(Path("m"), outcome().row, {"findings": many})
    lines = tell(full, "github").splitlines()
    assert len(lines) == 10
    assert "verdict-backdoored" in lines[0]


def test_what_the_vendor_wrote_begins_no_line_and_moves_no_cursor(one: Outcome) -> None:
    for form in ("table", "github", "junit", "sarif"):
        told = tell(one, form)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e\ud800-\udfff]", told), form
        assert "##[" not in told
        told.encode()
    for line in tell(one, "table").splitlines():
        assert not line.lstrip().startswith(("::", "##["))


def test_json_is_the_inspection_with_what_the_gate_adds() -> None:
    told = json.loads(tell(outcome(), "json"))
    assert told.items() >= outcome().row.items()
    assert (told["exit_code"], len(told["findings"]), told["policy"]) == (1, 3, None)


def test_all_forms_at_once_from_a_real_inspection(gate: Gate, tmp_path: Path) -> None:
    hostile = tmp_path / "model.pth"
    hostile.write_bytes(torch_zip(assemble.coop(assemble.system())))
    more = [f"--write={form}={tmp_path / form}" for form in orders.FORMATS]
    told = gate.submit(hostile, "--format", "github", *more)
    files = {form: (tmp_path / form).read_text() for form in orders.FORMATS}
    assert told.code == 1
    assert told.out == files["github"]
    run = check_sarif(files["sarif"])["runs"][0]
    assert "pickle-code-execution" in [result["ruleId"] for result in run["results"]]
    suite = check_junit(files["junit"])
    assert "finding pickle-code-execution" in [
        case.get("name") for case in suite.findall("testcase") if case.find("failure") is not None
    ]
    assert json.loads(files["json"])["exit_code"] == 1
    assert as_runner(told.out.splitlines()[0])[1]["title"] == "clipvet verdict-inconclusive"
