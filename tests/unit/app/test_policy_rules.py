"""Policies: every rule alone, waivers until their day, and the same over REST and from a file."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from app.policies.document import Policy
from app.policies.rules import Facts, RuleResult, evaluate, facts_of, result_of

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SHA, OTHER, WEIGHTS = "a" * 64, "b" * 64, "c" * 64
GOOD = Facts(
    artifact_sha256=SHA,
    finished_at=NOW - timedelta(days=10),
    verdict="clean",
    backbone="ViT-B-16/openai",
    backbone_sha256=WEIGHTS,
    profile="standard",
    engine="0.10.2",
    assembly="checked",
    bank="cal_1",
    score=0.4,
    p_value=0.3,
    findings=(("prefix-stripped", "info"), ("unusual-dtype", "low")),
)


def policy(**fields: Any) -> Policy:
    return Policy.model_validate({"name": "p"} | fields)


def judged(facts: Facts, now: datetime = NOW, **fields: Any) -> dict[str, RuleResult]:
    return {one.rule: one for one in evaluate(policy(**fields), facts, now)}


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("verdict", {}, {"verdict": "suspicious"}),
    ("verdict", {}, {"verdict": "inconclusive"}),
    ("verdict", {"verdicts": ["clean", "suspicious"]}, {"verdict": "backdoored"}),
    ("findings", {}, {"findings": (("pickle-code-execution", "critical"),)}),
    ("findings", {"max_severity": "low"}, {"findings": (("unknown-key", "medium"),)}),
    ("findings", {"max_severity": "high"}, {"findings": (("new", "apocalyptic"),)}),
    ("age", {"max_age_days": 10}, {"finished_at": NOW - timedelta(days=10, seconds=1)}),
    ("backbone", {"backbones": ["ViT-B-16/openai"]}, {"backbone": "ViT-B-32/openai"}),
    ("backbone", {"backbones": [f"sha256:{WEIGHTS}"]}, {"backbone_sha256": SHA}),
    ("backbone", {"backbones": [f"ViT-B-16/openai@sha256:{WEIGHTS}"]}, {"backbone_sha256": SHA}),
    ("backbone", {"backbones": ["None"]}, {"backbone": None, "backbone_sha256": None}),
    ("backbone", {"backbones": ["sha256:None"]}, {"backbone": None, "backbone_sha256": None}),
    ("profile", {"profiles": ["standard", "thorough"]}, {"profile": "quick"}),
    ("engine", {"min_engine": "0.10"}, {"engine": "0.9.9"}),
    ("engine", {"min_engine": "0.10"}, {"engine": None}),
    ("engine", {"min_engine": "0"}, {"engine": "unknown"}),
    ("assembly", {"min_assembly": "checked"}, {"assembly": "plausible"}),
    ("assembly", {"min_assembly": "unverified"}, {"assembly": "guessed"}),
    ("bank", {"own_bank": True}, {"bank": None}),
    ("bank", {"own_bank": True}, {"p_value": None}),
    ("score", {"max_score": 1}, {"score": 1.01}),
    ("score", {"max_score": 1}, {"score": None}),
    ("p_value", {"min_p_value": 0.05}, {"p_value": 0.04}),
    ("p_value", {"min_p_value": 0}, {"p_value": None}),
]


@pytest.mark.parametrize(("rule", "fields", "change"), CASES)
def test_every_rule_fails_for_its_own_reason_and_says_what_to_do(
    rule: str, fields: dict[str, Any], change: dict[str, Any]
) -> None:
    failing = judged(replace(GOOD, **change), **fields)
    assert {name for name, one in failing.items() if one.status == "failed"} == {rule}
    told = failing[rule]
    assert told.found in told.message
    assert told.wanted in told.message
    assert told.remedy
    if change.keys() != {"findings"} and "None" not in str(fields):
        assert judged(GOOD, **fields)[rule].status == "passed"


@pytest.mark.parametrize(
    ("least", "engine", "holds"),
    [
        ("0.1.0", "0.1", True),
        ("0.1", "0.1.0", True),
        ("1", "0.99", False),
        ("0.2", "0.10", True),
        ("0.2", "0.2rc1", True),
        ("0.2", "0.2.0+local", True),
        ("0.2.1", "0.2.dev5", False),
    ],
)
def test_versions_are_numbers(least: str, engine: str, holds: bool) -> None:
    one = judged(replace(GOOD, engine=engine), min_engine=least)["engine"]
    assert (one.status == "passed") == holds


def test_what_is_left_out_asks_for_nothing_but_a_clean_verdict() -> None:
    assert set(judged(GOOD)) == {"verdict", "findings"}


def test_no_policy_lets_a_critical_finding_pass() -> None:
    with pytest.raises(ValidationError):
        policy(max_severity="critical")
    code = replace(GOOD, findings=(("runs-code", "critical"), ("runs-code", "high"), ("x", "odd")))
    waivers = [
        {
            "rule": "findings", "finding": name, "artifact_sha256": SHA, "reason": "ours",
            "expires": "2027-01-01",
        }
        for name in ("runs-code", "x")
    ]  # fmt: skip
    told = evaluate(policy(waivers=waivers), code, NOW)
    assert [one.status for one in told if one.rule == "findings"] == ["failed", "failed"]
    assert result_of(told) == "fail"


BAD = replace(GOOD, verdict="suspicious", finished_at=NOW - timedelta(days=400))
AGE = {"rule": "age", "reason": "known since long", "expires": "2026-11-29"}


@pytest.mark.parametrize(
    ("now", "status"),
    [
        (datetime(2026, 11, 29, 23, 59, 59, tzinfo=UTC), "waived"),
        (datetime(2026, 11, 30, tzinfo=UTC), "failed"),
    ],
)
def test_a_waiver_counts_to_the_end_of_its_day(now: datetime, status: str) -> None:
    rules = judged(replace(BAD, verdict="clean"), now, max_age_days=1, waivers=[AGE])
    assert rules["age"].status == status
    assert "known since long" in rules["age"].message
    assert "2026-11-29" in rules["age"].message
    assert result_of(list(rules.values())) == ("warn" if status == "waived" else "fail")


def test_the_waiver_that_lasts_longest_counts() -> None:
    later = AGE | {"expires": "2027-01-01", "reason": "later"}
    rules = judged(BAD, NOW + timedelta(days=3), max_age_days=1, waivers=[AGE, later, AGE])
    assert rules["age"].status == "waived"
    assert rules["verdict"].status == "failed"


def test_a_verdict_is_waived_for_one_file_only() -> None:
    waiver = {"rule": "verdict", "reason": "seen by us", "expires": "2027-01-01"}
    with pytest.raises(ValidationError, match="artifact_sha256"):
        policy(waivers=[waiver])
    for sha256, status in ((SHA, "waived"), (OTHER, "failed")):
        rules = judged(BAD, waivers=[waiver | {"artifact_sha256": sha256}])
        assert rules["verdict"].status == status


def test_each_finding_needs_its_own_waiver() -> None:
    facts = replace(GOOD, findings=(("polyglot", "high"), ("unknown-key", "high")))
    waiver = {
        "rule": "findings", "finding": "polyglot", "artifact_sha256": SHA, "reason": "ours",
        "expires": "2027-01-01",
    }  # fmt: skip
    told = evaluate(policy(max_severity="low", waivers=[waiver]), facts, NOW)
    by_status = {one.status: one.message for one in told if one.rule == "findings"}
    assert "polyglot" in by_status["waived"]
    assert "unknown-key" in by_status["failed"]
    with pytest.raises(ValidationError, match="finding"):
        policy(waivers=[waiver | {"finding": None}])
    with pytest.raises(ValidationError, match="finding"):
        policy(waivers=[AGE | {"finding": "polyglot"}])


@pytest.mark.parametrize(
    "day",
    ["2027-02-29", "2026-13-01", "2026-11-31", "26-01-01", "2026-01-01T00:00:00Z", "0", "", 5],
)
def test_a_waiver_ends_on_a_day_that_there_is(day: object) -> None:
    with pytest.raises(ValidationError):
        policy(waivers=[AGE | {"expires": day}])


def test_leap_days_are_days() -> None:
    assert policy(waivers=[AGE | {"expires": "2028-02-29"}]).waivers[0].is_valid(NOW)


def test_a_report_that_says_nothing_passes_nothing() -> None:
    facts = facts_of({}, verdict="clean", artifact_sha256=SHA, finished_at=NOW)
    strict = policy(
        backbones=["pocket"], profiles=["quick"], min_engine="0", min_assembly="plausible",
        own_bank=True, max_score=9, min_p_value=0,
    )  # fmt: skip
    failed = {one.rule for one in evaluate(strict, facts, NOW) if one.status == "failed"}
    assert failed == {"backbone", "profile", "engine", "assembly", "bank", "score", "p_value"}
