"""SARIF 2.1.0 (OASIS), as code scanning of GitHub and others take it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .. import version
from .outcome import Outcome, Remark

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_SEVERITY = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0", "info": "0.0"}
_OF_LEVEL = {"error": "9.0", "warning": "5.0", "note": "0.0"}
"""GitHub sorts by this number, which other tools ignore."""


def render(outcome: Outcome) -> str:
    """One run with a rule for each kind of remark and a result for each remark."""
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_run(outcome)]}
    return json.dumps(log, indent=2, ensure_ascii=False)


def _run(outcome: Outcome) -> dict[str, Any]:
    remarks = outcome.remarks()
    rules = list({one.id: one for one in remarks}.values())
    places = {one.id: place for place, one in enumerate(rules)}
    row = outcome.row
    return {
        "tool": {
            "driver": {
                "name": "clipvet",
                "semanticVersion": version.VERSION,
                "rules": [_rule(one) for one in rules],
            }
        },
        "automationDetails": {"id": f"clipvet/{row['id']}"},
        "invocations": [_invocation(outcome)],
        "artifacts": [
            {
                "location": {"uri": _uri(outcome)},
                "length": row["artifact"]["size"],
                "hashes": {"sha-256": row["artifact"]["sha256"]},
            }
        ],
        "results": [_result(outcome, one, places[one.id]) for one in remarks],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "verdict": row["verdict"],
            "result": outcome.result,
            "inspection": row["id"],
            "report": outcome.page,
        },
    }


def _invocation(outcome: Outcome) -> dict[str, Any]:
    row = outcome.row
    told: dict[str, Any] = {
        "executionSuccessful": row["status"] == "succeeded",
        "exitCode": outcome.exit_code,
    }
    for name, key in (("startTimeUtc", "started_at"), ("endTimeUtc", "finished_at")):
        if row.get(key):
            told[name] = row[key]
    if row["status"] != "succeeded":
        text = {"text": outcome.headline}
        told["toolExecutionNotifications"] = [{"level": "error", "message": text}]
    return told


def _rule(remark: Remark) -> dict[str, Any]:
    tags = ["security"]
    if remark.cwe:
        tags.append(f"external/cwe/{remark.cwe.lower()}")
    if remark.atlas:
        tags.append(f"external/mitre-atlas/{remark.atlas}")
    rule: dict[str, Any] = {
        "id": remark.id,
        "name": "".join(word.capitalize() for word in remark.id.split("-")),
        "shortDescription": {"text": remark.id.replace("-", " ")},
        "defaultConfiguration": {"level": remark.level},
        "properties": {
            "tags": tags,
            "security-severity": _SEVERITY.get(remark.severity) or _OF_LEVEL[remark.level],
        },
    }
    if remark.remedy:
        rule["help"] = {"text": remark.remedy}
    return rule


def _result(outcome: Outcome, remark: Remark, place: int) -> dict[str, Any]:
    told = [remark.message]
    if remark.remedy:
        told.append(f"Next step: {remark.remedy}")
    # A checkpoint has no lines, but GitHub shows no result without one.
    where = {"artifactLocation": {"uri": _uri(outcome), "index": 0}, "region": {"startLine": 1}}
    return {
        "ruleId": remark.id,
        "ruleIndex": place,
        "level": remark.level,
        "message": {"text": "\n".join(told)},
        "locations": [{"physicalLocation": where}],
        "partialFingerprints": {"clipvet/v1": outcome.fingerprint(remark)},
        "properties": {"blocks": remark.blocks},
    }


def _uri(outcome: Outcome) -> str:
    if outcome.artifact.is_absolute():
        return Path(outcome.artifact).as_uri()
    return quote(outcome.artifact.as_posix())
