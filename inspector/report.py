"""The report: one JSON object with the verdict and all its evidence. Torch-free.

Holds the shape of the report, the rule from evidence to verdict, and the sentences that say what a
verdict does not cover. Knows neither how evidence is gathered nor what is done with a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from inspector.calibration import (
    Applied,
    Measured,
    error_rates,
    identity,
    method_of,
    statistic_of,
)
from inspector.checkpoint import Reading
from inspector.errors import RequestError
from inspector.findings import Finding, Severity, worst

SCHEMA_VERSION = "2"
SCHEMA = Path(__file__).with_name("report.schema.json")
"""The JSON Schema of a report, draft 7; keys may be added to it, never renamed."""

Verdict = Literal["clean", "suspicious", "backdoored", "inconclusive"]

CAPPING = ("pickle-unknown-global", "non-finite-tensor", "other-model", "loader-differs")
"""Findings that forbid `clean`: something in the file was not understood or cannot be computed."""
UNPROVED = ("unknown-key",)
"""Findings that forbid it unless the vendor's logits are reproduced without what was ignored."""

LIMITS = (
    "Not covered: triggers that only work on pictures of some classes, semantic and physical "
    "triggers, and triggers unlike all that is searched: something added, blended in, laid over a "
    "part, a displacement or a change of tones.",
    "A vendor who knows this method and trains against it may get through.",
    "A mark that honest pictures of one class bear, a watermark or a stamp, works as a trigger "
    "does and may be told as one.",
    "The verdict holds for this backbone only; with another one the prompt is another model.",
)
_UNREAD = "The file was not turned into tensors; nothing was searched for."
_REFUSED = "What was asked for cannot be done; nothing was searched for."


@dataclass(frozen=True, slots=True)
class Target:
    """A class, by index and name."""

    index: int
    name: str

    def to_json(self) -> dict[str, object]:
        """As the report writes it."""
        return {"index": self.index, "name": self.name}


@dataclass
class Evidence:
    """What an inspection has gathered; None, empty or zero where it did not come to it.

    `is_complete`: every stage that a verdict of `clean` needs ran to its end on every class.
    """

    profile: str
    seed: int
    backbone: dict[str, object]
    findings: list[Finding] = field(default_factory=list)
    assembly: str = "unverified"
    assembly_reason: str = "no classifier was assembled"
    family: str | None = None
    classes: dict[str, object] | None = None
    probes: dict[str, object] | None = None
    radius: float | None = None
    per_class: list[dict[str, Any]] = field(default_factory=list)
    score: float | None = None
    threshold: float | None = None
    is_warned: bool = False
    suspect: Target | None = None
    confirmed: Target | None = None
    confirmation: list[dict[str, Any]] = field(default_factory=list)
    paper: dict[str, Any] | None = None
    is_complete: bool = False
    repair: dict[str, Any] | None = None
    examples: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, str]] = field(default_factory=list)
    limits: list[str] = field(default_factory=lambda: list(LIMITS))
    calibration: Applied | None = None
    stages: list[dict[str, object]] = field(default_factory=list)
    budget: dict[str, Any] = field(default_factory=lambda: empty_budget())


def empty_budget() -> dict[str, Any]:
    """Work of an inspection that did none."""
    counts: tuple[str, ...] = (
        "image_forward",
        "image_backward",
        "text_forward",
        "text_backward",
        "text_tokens",
        "flops",
    )
    return dict.fromkeys(counts, 0) | {"seconds": 0.0, "device": None, "precision": "fp32"}


def verdict_of(evidence: Evidence) -> Verdict:
    """The verdict that the evidence supports.

    A confirmed target stands on its own; where the assembly is unverified it may be a property of a
    misread model, and is told as a suspicion. Everything else needs a complete inspection of a file
    that was understood, and `clean` a bank of honest models.
    """
    if evidence.confirmed is not None:
        return "suspicious" if evidence.assembly == "unverified" else "backdoored"
    if evidence.assembly == "unverified":
        return "inconclusive"
    capping = CAPPING if evidence.assembly == "proved" else CAPPING + UNPROVED
    is_capped = any(finding.id in capping for finding in evidence.findings)
    if not evidence.is_complete or is_capped or worst(evidence.findings) is Severity.CRITICAL:
        return "inconclusive"
    if evidence.is_warned:
        return "suspicious"
    return "inconclusive" if evidence.calibration is None else "clean"


def build_report(reading: Reading, evidence: Evidence) -> dict[str, Any]:
    """The object that `inspect --json` prints; every number in it is finite."""
    verdict = verdict_of(evidence)
    target = {"backdoored": evidence.confirmed, "suspicious": evidence.suspect}.get(verdict)
    artifact = reading.artifact
    applied = evidence.calibration
    report = {
        "schema_version": SCHEMA_VERSION,
        "engine": identity() | {"rule": statistic_of(evidence.profile)},
        "verdict": verdict,
        "score": evidence.score,
        "p_value": _p_value(evidence),
        "threshold": evidence.threshold,
        "calibration": None if applied is None else applied.to_json(),
        "assembly": evidence.assembly,
        "assembly_reason": evidence.assembly_reason,
        "target": target.to_json() if target else None,
        "profile": evidence.profile,
        "seed": evidence.seed,
        "artifact": {
            "name": artifact.name,
            "sha256": artifact.sha256,
            "size": artifact.size,
            "format": artifact.format,
            "family": evidence.family or reading.family,
            "member": reading.container.member,
            "state": reading.state,
        },
        "models": [],
        "canonical_sha256": reading.canonical_sha256,
        "backbone": evidence.backbone,
        "classes": evidence.classes or _classes_of(reading),
        "per_class": evidence.per_class,
        "confirmation": evidence.confirmation,
        "paper": evidence.paper,
        "probes": evidence.probes,
        "radius": evidence.radius,
        "budget": evidence.budget,
        "sandbox": list(reading.sandbox),
        "stages": evidence.stages,
        "findings": [finding.to_json() for finding in evidence.findings],
        "limits": evidence.limits + _about_p_value(evidence),
        "repair": evidence.repair,
        "artifacts": evidence.artifacts,
        "examples": evidence.examples,
        "readings": _readings(evidence),
        "error_rates": _error_rates(evidence),
        "reading": _facts(reading),
    }
    finite: dict[str, Any] = _finite(report)
    return finite


def static_report(reading: Reading, request: Mapping[str, Any]) -> dict[str, Any]:
    """The report on a file that never became tensors: inconclusive, with the reader's findings.

    Args:
        request: `profile`, `seed` and `backbone` as they were asked for.
    """
    return build_report(reading, _unsearched(reading, request, "read", _UNREAD))


_WORST_FIRST: tuple[Verdict, ...] = ("backdoored", "suspicious", "inconclusive", "clean")


def worst_report(reports: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], int]:
    """The report of the worst of several models of one artifact, told of all, and its place.

    Of equal verdicts the highest score counts, then the first. What only another one found is not
    lost: its verdict stands under ``models``, its findings beside the worst one's. A file that runs
    code runs it whichever of its models is loaded: nothing short of an accusation goes before that.
    """
    place = min(range(len(reports)), key=lambda i: (*_badness(reports[i]), i))
    models = [
        {key: report["artifact"][key] for key in ("member", "state", "family")}
        | {key: report[key] for key in ("verdict", "score", "canonical_sha256")}
        | {"is_reported": number == place}
        for number, report in enumerate(reports)
    ]
    told = [
        Finding(
            "other-model-inspected",
            Severity.INFO,
            f"{model['member'] or ''} {model['state']} ({model['family']}) was inspected, too: "
            f"{model['verdict']}; the worst verdict counts".lstrip(),
        ).to_json()
        for number, model in enumerate(models)
        if number != place
    ]
    worst = reports[place]
    found = {(one["id"], one["message"]): one for report in reports for one in report["findings"]}
    own = {(one["id"], one["message"]) for one in worst["findings"]}
    others = [one for key, one in found.items() if key not in own]
    return worst | {"models": models, "findings": [*worst["findings"], *others, *told]}, place


def _badness(report: Mapping[str, Any]) -> tuple[int, bool, int, float]:
    """Sorts the worst first."""
    verdict = report["verdict"]
    is_critical = any(one["severity"] == Severity.CRITICAL.label for one in report["findings"])
    score = report["score"]
    return (
        0 if verdict == "backdoored" else 1,
        not is_critical,
        _WORST_FIRST.index(verdict),
        -score if score is not None else 0.0,
    )


def refused_report(
    reading: Reading, request: Mapping[str, Any], problem: RequestError
) -> dict[str, Any]:
    """The report of a file that was read where what was asked for cannot be done.

    `request` is as above.
    """
    evidence = _unsearched(reading, request, "request", _REFUSED)
    evidence.findings.append(Finding("request-invalid", Severity.MEDIUM, str(problem)))
    return build_report(reading, evidence)


def _unsearched(reading: Reading, request: Mapping[str, Any], stage: str, limit: str) -> Evidence:
    return Evidence(
        profile=str(request.get("profile", "standard")),
        seed=int(request.get("seed", 0)),
        backbone={"id": request.get("backbone"), "sha256": None},
        findings=list(reading.findings),
        limits=[limit],
        stages=[{"name": stage, "status": "failed", "seconds": None}],
    )


def _error_rates(evidence: Evidence) -> dict[str, Any] | None:
    """Of inspections like this one; None where no exam measured such, or there is no score."""
    if evidence.score is None:
        return None
    sha256 = evidence.backbone.get("sha256")
    return error_rates(
        Measured(
            statistic_of(evidence.profile),
            evidence.profile,
            None if sha256 is None else str(sha256),
            evidence.family or "",
            bool((evidence.probes or {}).get("in_distribution")),
            len(evidence.per_class),
        )
    )


def _readings(evidence: Evidence) -> list[dict[str, Any]]:
    """Which readings speak against the leading class: random triggers and spaces searched.

    Nothing by the published method.
    """
    leading = max(evidence.per_class, key=lambda row: row.get("score") or 0.0, default={})
    if "speaking" not in leading:
        return []
    return [
        {"name": name, "speaks": name in leading["speaking"]}
        for name in ("random", *leading["spaces"])
    ]


def _p_value(evidence: Evidence) -> float | None:
    score = evidence.score
    if evidence.calibration is None or score is None or not math.isfinite(score):
        return None
    return evidence.calibration.p_value(score)


def _about_p_value(evidence: Evidence) -> list[str]:
    """What the p-value means, or why there is none; nothing about a report without a score."""
    score = evidence.score
    if score is None or not math.isfinite(score):
        return []
    if evidence.calibration is not None:
        return evidence.calibration.limits(score)
    method = method_of(evidence.family or "")
    if method is None:
        return [f"No calibration can be made for {evidence.family} yet, therefore no p-value."]
    classes = evidence.classes or {}
    if classes.get("count") != len(evidence.per_class):
        return ["A calibration holds for inspections of all classes only, therefore no p-value."]
    command = (
        f"clipvet calibrate --backbone {evidence.backbone['id']} --classes FILE --method {method} "
        f"--profile {evidence.profile} --out FILE.json"
    )
    if (evidence.probes or {}).get("in_distribution"):
        command += " --probes FOLDER --in-distribution"
    return [
        "There is no calibration for this backbone, family, profile and these probes, therefore no "
        f"p-value. It is made by: {command}"
    ]


def _classes_of(reading: Reading) -> dict[str, object]:
    count = reading.options.get("num_classes")
    return {"count": count, "source": None, "match": None}


def _facts(reading: Reading) -> dict[str, object]:
    """What the file says besides its tensors."""
    container = reading.container
    return {
        "reader_version": reading.reader_version,
        "container": {
            "outer": container.outer,
            "member": container.member,
            "ignored": list(container.ignored),
        },
        "others": [
            {
                "member": other.member,
                "state": other.state,
                "family": other.family,
                "loaders": list(other.loaders),
                "is_same": other.is_same,
            }
            for other in reading.others
        ],
        "globals": [
            {"name": use.name, "count": use.count, "severity": use.severity}
            for use in reading.globals
        ],
        "options": dict(reading.options),
        "metadata": dict(reading.metadata),
    }


def _finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity; they become null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
