"""What a policy makes of a finished inspection: rule by rule, what was found and what to do.

Pure: knows a policy, the facts of a report and the moment, no row and no request. Every rule that
the policy asks for is told, also those that hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from app.policies.document import ASSEMBLY, SEVERITIES, Policy, RuleName, Waiver

Standing = Literal["passed", "waived", "failed"]
Result = Literal["pass", "warn", "fail"]

_REMEDIES: dict[RuleName, str] = {
    "verdict": "Do not use the file. What the verdict means and what to ask the vendor stands in "
    "the report; a waiver for this file needs a reason and an end.",
    "findings": "Do what the finding's remedy says and inspect what the vendor sends then.",
    "age": "Inspect the file again.",
    "backbone": "Inspect the file on an allowed backbone, or add this one to the policy after "
    "comparing its sha256 with its publisher's.",
    "profile": "Inspect the file again with --profile and one of these.",
    "engine": "Update the service and inspect the file again.",
    "assembly": "Give the vendor's logits of some pictures with the manifest (check), so that the "
    "assembled model can be compared.",
    "bank": "Make honest models of this backbone (clipvet calibrate), let the service know the "
    "file (CLIPVET_CALIBRATIONS), and inspect again.",
    "score": "Inspect again with --profile thorough and pictures of the model's task; if the score "
    "stays, refuse the file.",
    "p_value": "Inspect again with a calibration of more honest models; if the p-value stays, "
    "refuse the file.",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a policy looks at; None where a report does not say."""

    artifact_sha256: str
    finished_at: datetime
    verdict: str
    backbone: str | None
    backbone_sha256: str | None
    profile: str
    engine: str | None
    assembly: str
    bank: str | None
    score: float | None
    p_value: float | None
    findings: tuple[tuple[str, str], ...]
    """Id and severity of each."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule: what was found, what was wanted, and what to do where it does not hold."""

    rule: RuleName
    status: Standing
    found: str
    wanted: str
    message: str
    remedy: str = ""
    waiver: Waiver | None = None


@dataclass(frozen=True, slots=True)
class _Checked:
    rule: RuleName
    holds: bool
    found: str
    wanted: str
    finding: str | None = None
    can_be_waived: bool = True


def facts_of(
    report: Mapping[str, Any], *, verdict: str, artifact_sha256: str, finished_at: datetime
) -> Facts:
    """From a report as the inspection wrote it, and what the ledger knows of that.

    What an older report does not say is taken for the worst.
    """
    backbone = report.get("backbone") or {}
    engine, bank = report.get("engine") or {}, report.get("calibration") or {}
    findings = report.get("findings") or []
    return Facts(
        artifact_sha256=artifact_sha256,
        finished_at=finished_at,
        verdict=verdict,
        backbone=backbone.get("id"),
        backbone_sha256=backbone.get("sha256"),
        profile=str(report.get("profile")),
        engine=engine.get("version"),
        assembly=str(report.get("assembly", ASSEMBLY[0])),
        bank=bank.get("id"),
        score=report.get("score"),
        p_value=report.get("p_value"),
        findings=tuple((str(one.get("id")), str(one.get("severity"))) for one in findings),
    )


def evaluate(policy: Policy, facts: Facts, now: datetime) -> list[RuleResult]:
    """Every rule that the policy asks for, in a fixed order."""
    return [_judged(policy, facts, checked, now) for checked in _checks(policy, facts, now)]


def result_of(rules: list[RuleResult]) -> Result:
    """Fail where one rule fails, warn where one had to be waived."""
    standings = {rule.status for rule in rules}
    return "fail" if "failed" in standings else "warn" if "waived" in standings else "pass"


def _judged(policy: Policy, facts: Facts, checked: _Checked, now: datetime) -> RuleResult:
    rule, found, wanted = checked.rule, checked.found, checked.wanted
    if checked.holds:
        return RuleResult(rule, "passed", found, wanted, f"{found}, as wanted")
    message = f"{found}; wanted: {wanted}"
    about = [
        waiver
        for waiver in policy.waivers
        if checked.can_be_waived and waiver.covers(rule, facts.artifact_sha256, checked.finding)
    ]
    # The one that lasts longest counts.
    waiver = max(about, key=lambda one: one.expires, default=None)
    if waiver is None:
        return RuleResult(rule, "failed", found, wanted, message, _REMEDIES[rule])
    until = waiver.expires
    if waiver.is_valid(now):
        told = f"{message}; waived until {until}: {waiver.reason}"
        return RuleResult(rule, "waived", found, wanted, told, "", waiver)
    told = f"{message}; the waiver counted until {until} ({waiver.reason})"
    return RuleResult(rule, "failed", found, wanted, told, _REMEDIES[rule], waiver)


def _checks(policy: Policy, facts: Facts, now: datetime) -> Iterator[_Checked]:
    yield _Checked(
        "verdict",
        facts.verdict in policy.verdicts,
        f"the verdict is {facts.verdict}",
        " or ".join(policy.verdicts),
    )
    yield from _of_findings(policy, facts)
    if policy.max_age_days is not None:
        yield _of_age(policy.max_age_days, facts.finished_at, now)
    if policy.backbones is not None:
        yield _of_backbone(policy.backbones, facts)
    if policy.profiles is not None:
        yield _Checked(
            "profile",
            facts.profile in policy.profiles,
            f"the profile is {facts.profile}",
            " or ".join(policy.profiles),
        )
    if policy.min_engine is not None:
        yield _of_engine(policy.min_engine, facts.engine)
    if policy.min_assembly is not None:
        order = ASSEMBLY.index
        yield _Checked(
            "assembly",
            facts.assembly in ASSEMBLY and order(facts.assembly) >= order(policy.min_assembly),
            f"the assembly is {facts.assembly}",
            f"at least {policy.min_assembly}",
        )
    yield from _of_figures(policy, facts)


def _of_findings(policy: Policy, facts: Facts) -> Iterator[_Checked]:
    """One line for each kind of finding that is too grave; one in all where there is none."""
    wanted = f"no finding graver than {policy.max_severity}"
    most = SEVERITIES.index(policy.max_severity)
    gravest: dict[str, str] = {}
    for name, severity in facts.findings:
        if _gravity(severity) > max(most, _gravity(gravest.get(name, SEVERITIES[0]))):
            gravest[name] = severity
    grave = gravest
    for name, severity in grave.items():
        found = f"the finding {name} is {severity}"
        # Nobody loads a file that runs code, for whatever reason.
        may = _gravity(severity) < SEVERITIES.index("critical")
        yield _Checked("findings", False, found, wanted, name, can_be_waived=may)
    if not grave:
        yield _Checked("findings", True, "no finding is graver", wanted)


def _gravity(severity: str) -> int:
    """Its place; what is not known is as grave as can be."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _of_age(most_days: float, finished_at: datetime, now: datetime) -> _Checked:
    age = now - finished_at
    days = age / timedelta(days=1)
    return _Checked(
        "age",
        age <= timedelta(days=most_days),
        f"the verdict is {max(days, 0.0):.1f} days old ({finished_at.isoformat()})",
        f"at most {most_days:g} days",
    )


def _of_backbone(allowed: list[str], facts: Facts) -> _Checked:
    sha256 = f"sha256:{facts.backbone_sha256}"
    names = {facts.backbone, f"{facts.backbone}@{sha256}"} if facts.backbone else set()
    # Who asked for a pinned backbone is told its id without the pin, too.
    if facts.backbone and "@sha256:" in facts.backbone:
        names.add(facts.backbone.partition("@sha256:")[0])
    if facts.backbone_sha256:
        names.add(sha256)
    return _Checked(
        "backbone",
        not names.isdisjoint(allowed),
        f"the backbone is {facts.backbone} ({sha256 if facts.backbone_sha256 else 'no sha256'})",
        " or ".join(allowed),
    )


def _of_engine(least: str, engine: str | None) -> _Checked:
    found = "the report names no engine" if engine is None else f"the engine is clipvet {engine}"
    number = None if engine is None else _numbers(engine)
    holds = number is not None and number >= (_numbers(least) or ())
    return _Checked("engine", holds, found, f"clipvet {least} or newer")


def _of_figures(policy: Policy, facts: Facts) -> Iterator[_Checked]:
    if policy.own_bank:
        found = f"the bank is {facts.bank}" if facts.bank else "there is no bank of this backbone"
        holds = facts.bank is not None and facts.p_value is not None
        yield _Checked("bank", holds, found, "honest models of this backbone, and a p-value")
    if policy.max_score is not None:
        holds = facts.score is not None and facts.score <= policy.max_score
        yield _Checked("score", holds, _figure("score", facts.score), f"at most {policy.max_score}")
    if policy.min_p_value is not None:
        holds = facts.p_value is not None and facts.p_value >= policy.min_p_value
        found = _figure("p-value", facts.p_value)
        yield _Checked("p_value", holds, found, f"at least {policy.min_p_value}")


def _figure(name: str, value: float | None) -> str:
    return f"there is no {name}" if value is None else f"the {name} is {value:.4g}"


def _numbers(version: str) -> tuple[int, ...] | None:
    """Of a release; None where it begins with none. What stands behind it (rc1, +local) is left."""
    parts: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
        if digits != part:
            break
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts) if version[:1].isdigit() else None
