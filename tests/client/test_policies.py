"""Policies over REST and in the gate, against a running service and what its inspections found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest

from app.client import Client, Conflict, NotFound, Refused
from app.client.files import sha256_of
from tests.client.gating import Gate
from tests.support.processes import Embedded

STRICT = {
    "name": "strict",
    "description": "before production",
    "max_age_days": 30,
    "backbones": ["pocket"],
    "profiles": ["standard", "thorough"],
    "own_bank": True,
}
SHA = "a" * 64


@pytest.fixture
def client(service: Embedded) -> Iterator[Client]:
    with Client(service.url) as made:
        yield made


def inspected(client: Client, checkpoint: Path, verdict: str = "clean", **options: Any) -> str:
    manifest = {"method": "auto", "classnames": list("abcde"), "stand_in": {"verdict": verdict}}
    row = client.inspect(checkpoint, backbone="pocket", manifest=manifest, **options)
    return str(client.wait(row["id"], timeout_s=60)["id"])


def test_versions_count_up_and_never_change(client: Client) -> None:
    first = client.add_policy({"name": "counted"})
    second = client.add_policy({"name": "counted", "max_score": 1.5})
    assert (first["version"], second["version"]) == (1, 2)
    assert first["sha256"] != second["sha256"]
    assert client.policy("counted") == second
    assert client.policy("counted", 1) == first
    assert [one["id"] for one in client.policies()][:2] == [second["id"], first["id"]]
    assert client.add_policy({"name": "counted"})["sha256"] == first["sha256"]
    for name, version in (("counted", 9), ("nobody", None), ("../x", None)):
        with pytest.raises(NotFound):
            client.policy(name, version)


def test_an_evaluation_tells_every_rule(client: Client, checkpoint: Path) -> None:
    made = client.add_policy(STRICT)
    inspection = inspected(client, checkpoint, profile="quick")
    told = client.evaluate(inspection, f"strict@{made['version']}")
    assert told["policy"] == {key: made[key] for key in ("name", "version", "sha256")}
    assert told["inspection_id"] == inspection
    assert told["artifact_sha256"] == sha256_of(checkpoint)
    assert told["result"] == "fail"
    rules = {rule["rule"]: rule for rule in told["rules"]}
    assert {name for name, one in rules.items() if one["status"] == "failed"} == {"profile"}
    assert rules["profile"]["message"] == "the profile is quick; wanted: standard or thorough"
    assert "--profile" in rules["profile"]["remedy"]
    # The verdict itself is what it was.
    row = client.inspection(inspection)
    assert (row["verdict"], row["result"]) == ("clean", "pass")


def test_a_policy_can_be_sent_along(client: Client, checkpoint: Path) -> None:
    inspection = inspected(client, checkpoint)
    told = client.evaluate(inspection, {"name": "mine", "min_assembly": "plausible"})
    assert (told["result"], told["policy"]["version"]) == ("pass", None)
    kept = client.add_policy({"name": "mine", "min_assembly": "plausible"})
    assert kept["sha256"] == told["policy"]["sha256"]


def test_what_has_no_verdict_is_not_evaluated(client: Client, checkpoint: Path) -> None:
    manifest = {"classnames": list("abcde"), "stand_in": {"seconds": 20}}
    row = client.inspect(checkpoint, backbone="pocket", manifest=manifest)
    with pytest.raises(Conflict) as early:
        client.evaluate(row["id"], {"name": "p"})
    assert early.value.code == "not_ready"
    client.cancel(row["id"])
    client.wait(row["id"], timeout_s=60)
    with pytest.raises(Conflict) as never:
        client.evaluate(row["id"], {"name": "p"})
    assert never.value.code == "no_verdict"
    with pytest.raises(NotFound):
        client.evaluate("insp_none", {"name": "p"})


WAIVER = {"rule": "age", "reason": "why not", "expires": "2027-01-01"}
BODIES: list[dict[str, Any]] = [
    {},
    {"name": "Upper"},
    {"name": "p", "max_age_days": 0},
    {"name": "p", "max_age_days": None, "backbones": None},
    {"name": "p", "verdicts": []},
    {"name": "p", "verdicts": ["clean", "fine"]},
    {"name": "p", "max_severity": "critical"},
    {"name": "p", "min_engine": "1.2.x"},
    {"name": "p", "min_p_value": 1.1},
    {"name": "p", "unknown": 1},
    {"name": "p", "backbones": ["a b"]},
    {"name": "p", "waivers": [WAIVER]},
    {"name": "p", "waivers": [WAIVER | {"reason": ""}]},
    {"name": "p", "waivers": [WAIVER | {"expires": "2027-02-29"}]},
    {"name": "p", "waivers": [WAIVER | {"expires": "2028-02-29"}]},
    {"name": "p", "waivers": [WAIVER | {"expires": 1893456000}]},
    {"name": "p", "waivers": [{"rule": "age", "expires": "2027-01-01"}]},
    {"name": "p", "waivers": [{"rule": "age", "reason": "why not"}]},
    {"name": "p", "waivers": [WAIVER | {"rule": "verdict"}]},
    {"name": "p", "waivers": [WAIVER | {"rule": "verdict", "artifact_sha256": None}]},
    {"name": "p", "waivers": [WAIVER | {"rule": "verdict", "artifact_sha256": SHA}]},
    {"name": "p", "waivers": [WAIVER | {"rule": "findings", "artifact_sha256": SHA}]},
    {"name": "p", "waivers": [WAIVER | {"rule": "age", "finding": "polyglot"}]},
    {"name": "p", "waivers": [WAIVER | {"rule": "age", "finding": None}]},
    {
        "name": "p",
        "waivers": [
            WAIVER | {"rule": "findings", "artifact_sha256": SHA, "finding": "polyglot"},
        ],
    },
]


@pytest.fixture(scope="module", name="document")
def _document(service: Embedded) -> dict[str, Any]:
    return service.get("/openapi.json")


@pytest.mark.parametrize("body", BODIES)
def test_the_document_and_the_api_agree_on_a_policy(
    client: Client, document: dict[str, Any], body: dict[str, Any]
) -> None:
    schema = {"$ref": "#/components/schemas/Policy", "components": document["components"]}
    fits = jsonschema.Draft202012Validator(schema).is_valid(body)
    try:
        client.add_policy(body)
    except Refused:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    "body",
    [
        {"policy": "p"},
        {"policy": "p", "version": 2},
        {"document": {"name": "p"}},
        {"document": {"name": "p"}, "version": None},
        {"document": {"name": "p"}, "version": 1},
        {"document": {"name": "p"}, "policy": "p"},
        {"version": 1},
        {},
    ],
)
def test_the_document_and_the_api_agree_on_an_evaluation(
    service: Embedded, document: dict[str, Any], body: dict[str, Any]
) -> None:
    schema = {"$ref": "#/components/schemas/EvaluationCreate", "components": document["components"]}
    asked = {"inspection_id": "insp_none"} | body
    fits = jsonschema.Draft202012Validator(schema).is_valid(asked)
    with Client(service.url) as client, pytest.raises(NotFound if fits else Refused):
        client.post("/v1/evaluations", asked)


def test_the_gate_goes_by_the_policy(gate: Gate, client: Client, checkpoint: Path) -> None:
    made = client.add_policy(STRICT)
    told = gate.submit(checkpoint, "--policy", "strict", "--profile", "quick", verdict="clean")
    assert told.code == 1
    assert f"policy      strict version {made['version']}" in told.out
    assert "error  policy-profile" in told.out
    assert "  the profile is quick; wanted: standard or thorough" in told.out
    assert "  next step: Inspect the file again with --profile and one of these." in told.out
    assert "verdict-" not in told.out
    # The page that a person is sent to says so, too.
    (link,) = [line.split()[1] for line in told.out.splitlines() if line.startswith("report ")]
    assert link.endswith(f"/report.html?policy=strict&version={made['version']}")
    page = httpx2.get(link)
    assert (page.status_code, "the profile is quick" in page.text) == (200, True)


def test_a_policy_of_a_file_and_a_waiver(gate: Gate, checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    waiver = {
        "rule": "verdict", "artifact_sha256": sha256_of(checkpoint), "reason": "a test of ours",
        "expires": "2099-12-31",
    }  # fmt: skip
    for waivers, code in (([], 1), ([waiver], 0), ([waiver | {"artifact_sha256": SHA}], 1)):
        file.write_text(json.dumps({"name": "of-a-file", "waivers": waivers}))
        told = gate.submit(checkpoint, "--policy", str(file), verdict="suspicious")
        assert told.code == code, told.out
        assert ("a test of ours" in told.out) == (code == 0)
    file.write_text(json.dumps({"name": "of-a-file", "verdicts": ["clean", "inconclusive"]}))
    assert gate.submit(checkpoint, "--policy", str(file), verdict="inconclusive").code == 0
    file.write_text(json.dumps({"name": "of-a-file"}))
    assert gate.submit(checkpoint, "--policy", str(file), verdict="inconclusive").code == 3


def test_a_name_is_the_services_whatever_lies_in_the_folder(
    gate: Gate, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "production").write_text('{"name": "production", "verdicts": ["backdoored"]}')
    monkeypatch.chdir(tmp_path)
    told = gate.submit(checkpoint, "--policy", "production", verdict="backdoored")
    assert (told.code, "no policy 'production'" in told.err) == (4, True), told.err


def test_a_policy_that_is_none_is_refused_before_anything_is_sent(
    gate: Gate, client: Client, checkpoint: Path, tmp_path: Path
) -> None:
    file = tmp_path / "policy.json"
    before = len(list(client.inspections()))
    for text, said in (("[]", "no JSON object"), ("{", "no JSON"), ('{"name": "X"}', "name")):
        file.write_text(text)
        told = gate.submit(checkpoint, "--policy", str(file))
        assert (told.code, said in told.err) == (4, True), told.err
    assert len(list(client.inspections())) == before
