"""One inspection from canonical tensors to the report: its stages in order, and how each may end.

A trouble with the delivered file or with the backbone ends in an inconclusive report with a
finding, never in an exception; a wrong request raises. Decides nothing about a model itself: see
`inspector.detection.score` for the rule and `inspector.report` for the verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inspector.checkpoint import Reading
from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.determinism import reproducible
from inspector.errors import (
    AssemblyError,
    BackboneError,
    BudgetExceeded,
    NumericalError,
    RequestError,
)
from inspector.files import write_json
from inspector.findings import Finding, Severity
from inspector.progress import Meter, Say
from inspector.repair.encoders.choosing import ENCODER_FAMILIES
from inspector.report import Evidence, build_report, verdict_of
from inspector.request import Request
from inspector.run.encoder_check import EncoderCheck
from inspector.run.flops import budget_of
from inspector.run.prepare import Prepared, prepare
from inspector.run.published import is_genuine
from inspector.run.repair_check import RepairCheck
from inspector.run.stages import SearchStages

__all__ = ["REPORT_NAME", "STAGES", "Request", "inspect_reading"]

STAGES = (
    "backbone", "assemble", "probes", "assembly-level", "estimate", "inversion", "judge",
    "confirmation", "pictures", "repair",
)  # fmt: skip
REPORT_NAME = "report.json"
Load = Callable[[str, str], Backbone]


def inspect_reading(
    request: Request,
    reading: Reading,
    canonical: Path,
    out: Path,
    progress: Say,
    load: Load = load_backbone,
) -> dict[str, Any]:
    """Inspect canonical tensors; the report is returned and written to `out`, with its pictures.

    Raises:
        RequestError: profile, probes, targets, device or the check in the manifest are wrong.
    """
    request.check()
    evidence = Evidence(
        profile=request.profile,
        seed=request.seed,
        backbone={"id": request.backbone, "sha256": None},
        findings=list(reading.findings),
    )
    meter = Meter(progress, request.budget_s)
    with reproducible():
        _run(request, reading, canonical, out, _Inspection(evidence, meter, load))
    meter.skip(STAGES, "skipped")
    evidence.stages = meter.stages
    report = build_report(reading, evidence)
    write_json(out / REPORT_NAME, report)
    return report


@dataclass(frozen=True)
class _Inspection:
    evidence: Evidence
    meter: Meter
    load: Load


def _run(
    request: Request, reading: Reading, canonical: Path, out: Path, inspection: _Inspection
) -> None:
    """All stages; whatever ends them early becomes a finding."""
    evidence, meter = inspection.evidence, inspection.meter
    prepared: Prepared | None = None
    try:
        with meter.stage("backbone"):
            backbone = inspection.load(request.backbone, _device(request.device))
            evidence.backbone = {
                "id": backbone.id,
                "sha256": backbone.sha256,
                "genuine": is_genuine(backbone.sha256),
            }
        prepared = prepare(request, (reading, canonical), backbone, evidence, meter)
        stages = SearchStages(prepared, evidence, meter, out)
        stages.run()
        is_encoder = prepared.family in ENCODER_FAMILIES
        why_not = None if is_encoder else prepared.delivered.why_not(evidence.findings)
        if request.pairs is not None and not is_encoder:
            evidence.limits.append(f"Pairs clean encoders only; for {prepared.family} none serve.")
        if request.repair and why_not is not None:
            evidence.limits.append(f"The model cannot be repaired: {why_not}.")
        if request.repair and why_not is None and _may_be_attacked(evidence):
            with meter.stage("repair"):
                where = prepared, stages, out, reading.artifact.sha256 or ""
                check = (
                    EncoderCheck(*where, (reading, canonical, backbone))
                    if is_encoder
                    else RepairCheck(*where)
                )
                check.run(evidence)
        else:
            meter.skip(["repair"], "not-needed" if request.repair else "not-requested")
    except AssemblyError as problem:
        evidence.findings.append(problem.finding)
    except BackboneError as problem:
        evidence.findings.append(Finding("backbone-unusable", Severity.MEDIUM, str(problem)))
    except NumericalError as problem:
        evidence.findings.append(Finding("numerical-error", Severity.HIGH, str(problem)))
    except BudgetExceeded as problem:
        evidence.findings.append(Finding("budget-exceeded", Severity.INFO, str(problem)))
    if prepared is not None:
        evidence.budget = budget_of(prepared.classifier, meter.seconds)
    else:
        evidence.budget["seconds"] = round(meter.seconds, 3)


def _may_be_attacked(evidence: Evidence) -> bool:
    """Whether somebody is suspected, or a model that was understood could not be cleared."""
    if evidence.calibration is None and evidence.assembly != "unverified":
        return True
    return verdict_of(evidence) in ("backdoored", "suspicious")


def _device(name: str) -> str:
    """Raises RequestError when CUDA is demanded and is not there."""
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if has_cuda else "cpu"
    if name not in ("cpu", "cuda"):
        raise RequestError("device", f"{name!r} is not one of auto, cpu, cuda")
    if name == "cuda" and not has_cuda:
        raise RequestError("device", "this machine has no CUDA device that torch can use")
    return name
