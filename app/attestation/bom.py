"""An inspected model as a CycloneDX 1.6 ML-BOM, from its report alone.

The model is what the document is about; backbone and probes are components of it; a verdict
against it and grave findings are vulnerabilities, so that tools which read BOMs show them. Written
by hand: cyclonedx-python-lib 11 has no model cards; its validator holds ours against the official
schema (tests). The same report gives the same bytes, serial number included.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from app.attestation.facts import ENGINE, Facts
from app.attestation.published import written
from app.attestation.strictjson import Json, part, rows

SPEC_VERSION = "1.6"
_MODEL, _BACKBONE, _PROBES = "model", "backbone", "probes"
_SHA256 = re.compile(r"^[0-9a-f]{64}$", re.ASCII)
_GRAVE = ("high", "critical")
_VERDICTS = {
    "backdoored": (
        "critical",
        "The model answers a trigger with the class {target}, as a backdoor does.",
        "Do not deploy this file. Ask the vendor for a clean one, or use the repaired one if the "
        "report has one and calls its outcome repaired.",
    ),
    "suspicious": (
        "high",
        "Evidence of a backdoor is over the warning threshold, without meeting the rule for an "
        "accusation.",
        "Do not deploy this file before it was inspected by the profile thorough.",
    ),
}
_FIGURES = {
    "score": "clipvet backdoor score",
    "threshold": "clipvet threshold of the score",
    "p_value": "clipvet conformal p-value",
}


def of_job(facts: Facts) -> Json:
    """The document for an inspection of the service."""
    bom = of_report(facts.report, facts.report_sha256, facts.job.finished_at)
    if facts.job.url is not None:
        bom["metadata"]["component"]["externalReferences"] = [
            {"type": "attestation", "url": f"{facts.job.url}/attestation"},
            {
                "type": "dynamic-analysis-report",
                "url": f"{facts.job.url}/report.json",
                "hashes": _hashes(facts.report_sha256),
            },
        ]
    return bom


def of_report(report: Json, report_sha256: str, made_at: datetime | None = None) -> Json:
    """The document for a report; without ``made_at`` it tells no date."""
    metadata: Json = {"component": _model(report, report_sha256), "tools": _tools(report)}
    if made_at is not None:
        metadata["timestamp"] = written(made_at)
    parts = list(_parts(report))
    bom: Json = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": _serial(report_sha256),
        "version": 1,
        "metadata": metadata,
        "components": parts,
        "dependencies": [
            {"ref": _MODEL, "dependsOn": [one["bom-ref"] for one in parts]},
            *({"ref": one["bom-ref"]} for one in parts),
        ],
    }
    found = list(_vulnerabilities(report))
    return bom | ({"vulnerabilities": found} if found else {})


def _serial(report_sha256: str) -> str:
    """A UUID of version 8 (RFC 9562 §5.8) from the report's hash."""
    digest = bytearray(hashlib.sha256(f"bom {report_sha256}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return f"urn:uuid:{UUID(bytes=bytes(digest))}"


def _tools(report: Json) -> Json:
    engine: Json = {"type": "application", "name": ENGINE}
    told = part(report, "engine")
    if isinstance(told.get("version"), str):
        engine["version"] = told["version"]
    return {"components": [engine | _hashed(told.get("sha256"))]}


def _model(report: Json, report_sha256: str) -> Json:
    artifact = part(report, "artifact")
    told = {
        "verdict": report.get("verdict"),
        "assembly": report.get("assembly"),
        "profile": report.get("profile"),
        "seed": report.get("seed"),
        "rule": part(report, "engine").get("rule"),
        "bank": part(report, "calibration").get("id"),
        "bank:models": part(report, "calibration").get("models"),
        "target": part(report, "target").get("name"),
        "format": artifact.get("format"),
        "size": artifact.get("size"),
        "canonical_sha256": report.get("canonical_sha256"),
        "report_sha256": report_sha256,
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": str(artifact.get("name") or "model"),
        **_hashed(artifact.get("sha256")),
        "modelCard": _card(report),
        "properties": [
            {"name": f"clipvet:{name}", "value": str(value)}
            for name, value in told.items()
            if value is not None
        ],
    }


def _card(report: Json) -> Json:
    parameters: Json = {
        "task": "image-classification",
        "architectureFamily": "CLIP",
        "inputs": [{"format": "image"}],
        "outputs": [{"format": "logits of classes"}],
    }
    family = part(report, "artifact").get("family")
    if isinstance(family, str):
        parameters["modelArchitecture"] = family
    metrics = [
        {"type": name, "value": str(report[key])}
        for key, name in _FIGURES.items()
        if report.get(key) is not None
    ]
    card: Json = {
        "modelParameters": parameters,
        "quantitativeAnalysis": {"performanceMetrics": metrics + _of_target(report)},
    }
    told = report.get("limits")
    limits = [one for one in told if isinstance(one, str)] if isinstance(told, list) else []
    return card | ({"considerations": {"technicalLimitations": limits}} if limits else {})


def _of_target(report: Json) -> list[Json]:
    """The accused class's attack success under the trigger that was found."""
    target = part(report, "target")
    return [
        {
            "type": "clipvet excess attack success rate",
            "value": str(row["excess_asr"]),
            "slice": str(target.get("name")),
        }
        for row in rows(report, "per_class")
        if target and row.get("index") == target.get("index") and row.get("excess_asr") is not None
    ]


def _parts(report: Json) -> Iterator[Json]:
    backbone = part(report, "backbone")
    if isinstance(backbone.get("id"), str):
        yield {
            "type": "machine-learning-model",
            "bom-ref": _BACKBONE,
            "name": backbone["id"],
            "description": "the pre-trained CLIP that the model was inspected on",
            **_hashed(backbone.get("sha256")),
        }
    probes = part(report, "probes")
    if isinstance(probes.get("source"), str):
        yield {
            "type": "data",
            "bom-ref": _PROBES,
            "name": f"probes ({probes['source']})",
            "description": "unlabelled pictures that the inspection used; no part of the model",
            **_hashed(probes.get("sha256")),
            "data": [{"type": "dataset", "name": "probes"}],
        }


def _vulnerabilities(report: Json) -> Iterator[Json]:
    verdict = str(report.get("verdict"))
    if verdict in _VERDICTS:
        severity, what, remedy = _VERDICTS[verdict]
        target = str(part(report, "target").get("name"))
        yield _vulnerability(f"verdict-{verdict}", severity, what.format(target=target), remedy)
    for number, finding in enumerate(rows(report, "findings")):
        if finding.get("severity") in _GRAVE:
            one = _vulnerability(
                str(finding.get("id")),
                str(finding["severity"]),
                str(finding.get("message")),
                str(finding.get("remedy") or ""),
            )
            yield one | {"bom-ref": f"finding-{number}"} | _weakness(finding.get("cwe"))


def _vulnerability(identifier: str, severity: str, what: str, remedy: str) -> Json:
    one: Json = {
        "id": f"clipvet:{identifier}",
        "source": {"name": ENGINE},
        "ratings": [{"source": {"name": ENGINE}, "severity": severity, "method": "other"}],
        "description": what,
        "affects": [{"ref": _MODEL}],
    }
    return one | ({"recommendation": remedy} if remedy else {})


def _weakness(cwe: object) -> Json:
    number = str(cwe).removeprefix("CWE-")
    return {"cwes": [int(number)]} if number.isascii() and number.isdigit() else {}


def _hashed(sha256: object) -> Json:
    return {"hashes": _hashes(sha256)} if isinstance(sha256, str) and _SHA256.match(sha256) else {}


def _hashes(sha256: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": sha256}]
