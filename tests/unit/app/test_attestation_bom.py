"""The ML-BOM: the official CycloneDX schema, what it tells, and that it is the same each time."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from app.attestation.bom import of_job, of_report
from app.attestation.strictjson import encode
from tests.support.attested import FINISHED, RESULTS, SHA256, facts_of, report_of

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def assert_valid(bom: dict[str, Any]) -> None:
    assert VALIDATOR.validate_str(encode(bom).decode()) is None


def test_the_validator_refuses_what_is_no_bom() -> None:
    bom = of_job(facts_of())
    for broken in ({"bomFormat": "x"}, {"serialNumber": "1"}, {"unheard": 1}):
        assert VALIDATOR.validate_str(json.dumps(bom | broken)) is not None


@pytest.mark.parametrize("verdict", list(RESULTS))
def test_it_is_valid_cyclonedx(verdict: str) -> None:
    facts = facts_of(verdict)
    bom = of_job(facts)
    assert_valid(bom)
    assert_valid(of_report(facts.report, facts.report_sha256))
    assert encode(of_job(facts_of(verdict))) == encode(bom)
    model = bom["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": SHA256}]
    assert bom["metadata"]["timestamp"] == "2026-11-29T12:00:00Z"
    told = {one["name"]: one["value"] for one in model["properties"]}
    assert told["clipvet:verdict"] == facts.verdict
    assert told["clipvet:report_sha256"] == facts.report_sha256
    assert [one["url"].rpartition("/")[2] for one in model["externalReferences"]] == [
        "attestation",
        "report.json",
    ]


def test_a_backdoor_is_a_vulnerability_and_a_clean_model_has_none() -> None:
    bom = of_job(facts_of("backdoored"))
    (one,) = bom["vulnerabilities"]
    assert (one["id"], one["ratings"][0]["severity"]) == ("clipvet:verdict-backdoored", "critical")
    assert "dog" in one["description"]
    assert one["affects"] == [{"ref": bom["metadata"]["component"]["bom-ref"]}]
    metrics = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"][
        "performanceMetrics"
    ]
    assert {
        "type": "clipvet excess attack success rate",
        "value": "0.25",
        "slice": "dog",
    } in metrics
    for verdict in ("clean", "inconclusive"):
        assert "vulnerabilities" not in of_job(facts_of(verdict))


def test_a_file_that_runs_code_names_its_weakness() -> None:
    (one,) = of_job(facts_of("code"))["vulnerabilities"]
    assert (one["id"], one["cwes"]) == ("clipvet:pickle-code-execution", [502])
    assert one["recommendation"].startswith("Do not load this file")


def test_backbone_and_probes_are_parts_with_hashes() -> None:
    bom = of_job(facts_of())
    backbone, probes = bom["components"]
    assert (backbone["name"], backbone["hashes"][0]["content"]) == ("ViT-B-16/openai", "ab" * 32)
    assert (probes["type"], probes["hashes"][0]["content"]) == ("data", "cd" * 32)
    assert bom["dependencies"][0]["dependsOn"] == ["backbone", "probes"]


def test_other_reports_have_other_serial_numbers() -> None:
    clean, bad = of_job(facts_of()), of_job(facts_of("backdoored"))
    assert clean["serialNumber"] != bad["serialNumber"]
    assert of_report({}, "0" * 64, FINISHED)["serialNumber"][len("urn:uuid:") + 14] == "8"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
REPORT = json.loads(report_of("backdoored"))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_a_report_holds_the_bom_is_valid(data: st.DataObject) -> None:
    """Old reports lack parts, and names come from a hostile file."""
    report = copy.deepcopy(REPORT)
    for key in data.draw(st.lists(st.sampled_from(sorted(report)), max_size=4)):
        report[key] = data.draw(JSON)
    assert_valid(of_report(report, "0" * 64))
