"""Finished inspections with reports that the real builder made, and what signs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from app.attestation import dsse
from app.attestation.facts import Facts, Job
from app.attestation.keyring import Keyring
from app.attestation.published import moment
from app.attestation.statements import Predicate, statement
from app.attestation.strictjson import encode
from app.inspections import lease
from inspector.checkpoint.reading import ArtifactInfo, Reading
from inspector.checkpoint.reasons import report as finding_of
from inspector.report import Evidence, Target, build_report, static_report
from tests.support.banked import applied
from tests.support.ledger import Ledger

ARTIFACT = b"the bytes of a checkpoint"
SHA256 = hashlib.sha256(ARTIFACT).hexdigest()
FINISHED = moment("2026-11-29T12:00:00Z")
NAMES = ["cat", "dog", "fox"]
Json = dict[str, Any]


def reading(data: bytes = ARTIFACT, *findings: str, name: str = "model.pth.tar-50") -> Reading:
    made = Reading(
        ArtifactInfo(name, hashlib.sha256(data).hexdigest(), len(data), "torch-zip"), family="CoOp"
    )
    for identifier in findings:
        made = made.with_finding(finding_of(identifier, f"what {identifier} says"))
    return made


def report_of(verdict: str = "clean", data: bytes = ARTIFACT, **changes: Any) -> bytes:
    """As the inspection writes it. ``code`` is a file that runs code, and never became tensors."""
    if verdict == "code":
        asked = {"profile": "standard", "seed": 3, "backbone": "ViT-B-16/openai"}
        return json.dumps(static_report(reading(data, "pickle-code-execution"), asked)).encode()
    target = Target(1, "dog")
    evidence = Evidence(
        profile="standard",
        seed=3,
        backbone={"id": "ViT-B-16/openai", "sha256": "ab" * 32},
        findings=list(reading(data, "unusual-dtype").findings),
        assembly="plausible",
        family="CoOp",
        classes={"count": 3, "source": "file", "match": True},
        probes={"source": "builtin", "count": 256, "held_out": 250, "skipped": 0,
                "in_distribution": False, "sha256": "cd" * 32},
        per_class=[{"index": i, "name": n, "excess_asr": 0.25 * i} for i, n in enumerate(NAMES)],
        score={"clean": 0.4, "suspicious": 1.0}.get(verdict, 2.5),
        threshold=1.0,
        is_warned=verdict == "suspicious",
        suspect=target,
        confirmed=target if verdict == "backdoored" else None,
        is_complete=verdict != "inconclusive",
        stages=[{"name": "read", "status": "complete", "seconds": 0.5}],
        **{"calibration": applied()} | changes,
    )  # fmt: skip
    return json.dumps(build_report(reading(data), evidence), indent=2).encode()


RESULTS = {"clean": "pass", "suspicious": "warn", "backdoored": "fail", "inconclusive": "fail",
           "code": "fail"}  # fmt: skip


def facts_of(verdict: str = "clean", finished_at: datetime = FINISHED, **changes: Any) -> Facts:
    job = Job(
        inspection_id="insp_1",
        artifact_sha256=SHA256,
        requested_at=finished_at - timedelta(minutes=2),
        started_at=finished_at - timedelta(minutes=1),
        finished_at=finished_at,
        fail_on="backdoored",
        result=RESULTS[verdict],
        url="https://vetting.example/v1/inspections/insp_1",
    )
    return Facts.of(job, report_of(verdict, **changes))


def signed(
    keyring: Keyring,
    verdict: str = "clean",
    predicate: Predicate = "backdoor-inspection",
    *,
    at: datetime = FINISHED,
    edit: Callable[[Json], object] = lambda _statement: None,
    **changes: Any,
) -> bytes:
    """An envelope as the service makes it; ``edit`` changes the statement before it is signed."""
    key = keyring.active(at)
    content = statement(facts_of(verdict, **changes), predicate, at)
    edit(content)
    return dsse.sealed(encode(content), key.keyid, key.sign).to_bytes()


def finished(ledger: Ledger, verdict: str = "clean", data: bytes = ARTIFACT) -> str:
    """An inspection that has ended; its id."""
    row = ledger.inspection(ledger.upload(data)["id"])
    held = lease.claim(ledger.context.database, "w", 60)
    assert held is not None and held.inspection_id == row["id"]
    body = report_of(verdict, data).decode()
    told = json.loads(body)["verdict"]
    outcome = lease.Outcome(told, body, hashlib.sha256(body.encode()).hexdigest(), {}, [])
    lease.finish(ledger.context.database, held, outcome)
    return str(row["id"])
