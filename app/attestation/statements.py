"""In-toto statements (v1) about one inspection: our own predicate and two that others define.

- ``backdoor-inspection``: all that the verdict rests on; ``predicate.schema.json`` has its form.
- ``test-result`` v0.1 and ``svr`` v0.2: the same in the words of others' policies, as
  https://github.com/in-toto/attestation defines them in ``spec/predicates``. Their extension field
  ``clipvet`` says which inspection, and when.

A statement is about the bytes that were uploaded: its subject is their sha256, and the name only
helps people. Knows no signature.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from app.attestation.facts import Facts
from app.attestation.published import written
from app.attestation.strictjson import Json, rows

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
INSPECTION_TYPE = "urn:clipvet:attestation:backdoor-inspection:v1"
TEST_RESULT_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
SVR_TYPE = "https://in-toto.io/attestation/svr/v0.2"
SCHEMA = Path(__file__).with_name("predicate.schema.json")
"""The JSON Schema of our own predicate, 2020-12; keys may be added to it, never renamed."""

Predicate = Literal["backdoor-inspection", "test-result", "svr"]
PREDICATES: tuple[Predicate, ...] = get_args(Predicate)

_RESULTS = {"pass": "PASSED", "warn": "WARNED", "fail": "FAILED"}
_RUN = ("complete", "not-needed", "not-requested")
"""How a stage may end whose work was done."""


def statement(facts: Facts, predicate: Predicate, issued_at: datetime) -> Json:
    """The statement to be signed at ``issued_at``."""
    kind, content = _MAKERS[predicate]
    subject: Json = {"digest": {"sha256": facts.job.artifact_sha256}}
    if facts.name is not None:
        subject["name"] = facts.name
    return {
        "_type": STATEMENT_TYPE,
        "subject": [subject],
        "predicateType": kind,
        "predicate": content(facts, issued_at),
    }


def _inspection(facts: Facts, issued_at: datetime) -> Json:
    artifact, classes = facts.part("artifact"), facts.part("classes")
    return {
        "inspection": {"id": facts.job.inspection_id} | facts.moments,
        "issuedOn": written(issued_at),
        "verdict": facts.verdict,
        "score": facts.value("score"),
        "pValue": facts.value("p_value"),
        "threshold": facts.value("threshold"),
        "target": facts.target,
        "policy": {
            "name": "fail-on",
            "failOn": facts.job.fail_on,
            "result": facts.job.result,
        },
        "criticalFindings": facts.critical,
        "assembly": facts.value("assembly"),
        "engine": facts.engine,
        "backbone": facts.backbone,
        "bank": facts.bank,
        "profile": facts.value("profile"),
        "seed": facts.value("seed"),
        "probes": facts.probes,
        "classes": {key: classes.get(key) for key in ("count", "source", "match")},
        "artifact": {key: artifact.get(key) for key in ("size", "format", "family")},
        "canonicalSha256": facts.value("canonical_sha256"),
        "repair": facts.repair,
        "report": {
            "sha256": facts.report_sha256,
            "size": facts.report_size,
            "schemaVersion": facts.value("schema_version"),
        },
    }


def _test_result(facts: Facts, issued_at: datetime) -> Json:
    outcomes = _tests(facts)
    content: Json = {
        "result": _RESULTS[facts.job.result],
        "configuration": _configuration(facts),
        "passedTests": [name for name, word in outcomes.items() if word == "passed"],
        "warnedTests": [name for name, word in outcomes.items() if word == "warned"],
        "failedTests": [name for name, word in outcomes.items() if word == "failed"],
        "clipvet": _extension(facts, issued_at),
    }
    return content | ({} if facts.job.url is None else {"url": facts.job.url})


def _tests(facts: Facts) -> dict[str, str]:
    """What an inspection tries, and how each ended."""
    search = "passed" if facts.verdict == "clean" else "failed"
    if facts.job.result == "warn":
        search = "warned"
    stages = rows(facts.report, "stages")
    is_run = bool(stages) and all(one.get("status") in _RUN for one in stages)
    return {
        "no-code-in-the-file": "failed" if facts.critical else "passed",
        "assembly": "failed" if facts.value("assembly") == "unverified" else "passed",
        "every-stage-ran": "passed" if is_run else "failed",
        "backdoor-search": search,
    }


def _configuration(facts: Facts) -> list[Json]:
    """Resource descriptors of what the run depended on; each needs a URI or a digest."""
    probes = facts.probes or {}
    digests = {
        "backbone": facts.backbone["sha256"],
        "probes": probes.get("sha256"),
        "engine": facts.engine["sha256"],
        "report": facts.report_sha256,
    }
    told = [
        {"name": name, "digest": {"sha256": value}}
        for name, value in digests.items()
        if isinstance(value, str)
    ]
    profile = {"name": "profile", "uri": f"urn:clipvet:profile:{facts.value('profile')}"}
    return [profile | {"annotations": {"seed": facts.value("seed")}}, *told]


def _svr(facts: Facts, issued_at: datetime) -> Json:
    version = facts.engine["version"] or "unknown"
    policy = f"urn:clipvet:policy:fail-on:{facts.job.fail_on}"
    return {
        "verifier": {
            "id": f"urn:clipvet:engine:{version}",
            "policies": [{"name": "fail-on", "uri": policy}],
        },
        "timeCreated": written(facts.job.finished_at),
        "properties": _properties(facts),
        "clipvet": _extension(facts, issued_at),
    }


def _properties(facts: Facts) -> list[str]:
    """Only what holds: a missing property is all that such a result says about a failure."""
    held = [
        f"CLIPVET_TEST_{name.upper().replace('-', '_')}"
        for name, word in _tests(facts).items()
        if word == "passed"
    ]
    if facts.verdict == "clean":
        held.append(f"CLIPVET_NO_BACKDOOR_FOUND_{str(facts.value('profile')).upper()}")
    if facts.job.result == "pass":
        held.append("CLIPVET_POLICY_PASSED")
    return held


def _extension(facts: Facts, issued_at: datetime) -> Json:
    return {
        "inspection": {"id": facts.job.inspection_id} | facts.moments,
        "issuedOn": written(issued_at),
        "report": {"sha256": facts.report_sha256},
    }


_MAKERS: dict[Predicate, tuple[str, Callable[[Facts, datetime], Json]]] = {
    "backdoor-inspection": (INSPECTION_TYPE, _inspection),
    "test-result": (TEST_RESULT_TYPE, _test_result),
    "svr": (SVR_TYPE, _svr),
}
