"""Which of several verdicts about the same bytes counts: for signed statements and for webhooks alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.attestation.reading import Signed
from app.attestation.standing import accusation, relied_on
from app.client import receiver

DAY = datetime(2026, 11, 1, tzinfo=UTC)
RESULTS = {"clean": "pass", "suspicious": "fail", "backdoored": "fail", "inconclusive": "fail"}


@dataclass(frozen=True)
class Look:
    """One inspection, and on which day it ended."""

    verdict: str
    profile: str | None = "standard"
    day: int = 0
    engine: str | None = "0.1.0"
    backbone: str | None = "a"
    own: bool = False
    result: str | None = None
    critical: int = 0

    @property
    def judged(self) -> str:
        return self.result or RESULTS[self.verdict]

    def signed(self) -> Signed:
        at = DAY + timedelta(days=self.day)
        predicate: dict[str, Any] = {
            "profile": self.profile,
            "engine": {"version": self.engine},
            "backbone": {"sha256": self.backbone},
            "probes": {"inDistribution": self.own},
        }
        return Signed("ours", (), "i", at, at, "0", self.judged, self.verdict, self.critical, predicate)  # fmt: skip

    def event(self) -> receiver.Event:
        data = {
            "status": "succeeded",
            "verdict": self.verdict,
            "result": self.judged,
            "profile": self.profile,
            "engine": self.engine,
            "backbone_sha256": self.backbone,
            "in_distribution": self.own,
            "critical_findings": ["pickle-code-execution"] * self.critical,
        }
        return {"timestamp": (DAY + timedelta(days=self.day)).isoformat(), "data": data}


def by_statements(looks: Sequence[Look]) -> int | None:
    signed = [look.signed() for look in looks]
    found = accusation(signed) or relied_on(signed)
    return next((place for place, one in enumerate(signed) if one is found), None)


def by_webhooks(looks: Sequence[Look]) -> int | None:
    events = [look.event() for look in looks]
    found = receiver.counts(events)
    return next((place for place, one in enumerate(events) if one is found), None)


ACCUSED = Look("backdoored")


@pytest.mark.parametrize(
    ("earlier", "later", "counts"),
    [
        # Nothing is taken back by a look that is weaker, as strong, or cannot be compared.
        (ACCUSED, Look("inconclusive", "thorough", 1), 0),
        (ACCUSED, Look("clean", "quick", 1), 0),
        (ACCUSED, Look("clean", "standard", 1), 0),
        (ACCUSED, Look("clean", "thorough", 1, backbone="b"), 0),
        (ACCUSED, Look("clean", "thorough", 1, engine="0.0.9"), 0),
        (ACCUSED, Look("clean", "thorough", 1, engine=None), 0),
        (ACCUSED, Look("clean", "thorough", 1, engine="newest"), 0),
        (ACCUSED, Look("clean", "paper", 1), 0),
        (replace(ACCUSED, profile="paper"), Look("clean", "thorough", 1), 0),
        (replace(ACCUSED, own=True), Look("clean", "thorough", 1), 0),
        (ACCUSED, Look("suspicious", "thorough", 1, result="warn"), 0),
        (ACCUSED, Look("clean", "thorough", 1, critical=1), 1),
        (replace(ACCUSED, day=2), Look("clean", "thorough", 1), 0),
        (Look("suspicious"), Look("clean", "standard", 1), 0),
        (Look("inconclusive", critical=1), Look("clean", "standard", 1), 0),
        # A stronger one that finds the file clean takes it back.
        (ACCUSED, Look("clean", "thorough", 1), 1),
        (ACCUSED, Look("clean", "standard", 1, engine="0.2"), 1),
        (ACCUSED, Look("clean", "standard", 1, own=True), 1),
        # An accusation counts whatever came before, and however weak it is.
        (Look("clean", "thorough"), Look("backdoored", "quick", 1), 1),
        # Of two calm ones the stronger, else the newer.
        (Look("clean", "thorough"), Look("clean", "quick", 1), 0),
        (Look("clean", "thorough"), Look("inconclusive", "quick", 1), 0),
        (Look("clean"), Look("inconclusive", "standard", 1), 1),
        (Look("inconclusive"), Look("clean", "standard", 1), 1),
        (Look("inconclusive", "thorough"), Look("clean", "standard", 1), 0),
        (Look("suspicious", result="warn"), Look("clean", "standard", 1), 1),
        (Look("clean", "paper"), Look("clean", "quick", 1), 1),
    ],
)
def test_of_two(earlier: Look, later: Look, counts: int) -> None:
    assert by_statements([earlier, later]) == counts
    assert by_webhooks([earlier, later]) == counts
    assert by_statements([later, earlier]) == by_webhooks([later, earlier]) == 1 - counts


LOOKS = st.builds(
    Look,
    st.sampled_from(sorted(RESULTS)),
    st.sampled_from(["quick", "standard", "paper", "thorough", "other", None]),
    st.integers(0, 3),
    st.sampled_from(["0.1.0", "0.1.1", "0.2", "1.0rc1", None]),
    st.sampled_from(["a", "a", "b", None]),
    st.booleans(),
    st.sampled_from([None, None, "warn", "fail"]),
    st.sampled_from([0, 0, 0, 1]),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(LOOKS, max_size=5))
def test_statements_and_webhooks_agree(looks: list[Look]) -> None:
    assert by_statements(looks) == by_webhooks(looks)
    assert (by_statements(looks) is None) == (looks == [])


@settings(max_examples=300, deadline=None)
@given(st.lists(LOOKS, max_size=4), LOOKS)
def test_a_weaker_or_doubtful_look_never_opens_a_gate_that_an_accusation_shut(
    looks: list[Look], last: Look
) -> None:
    before = by_statements(looks)
    if before is None or accusation([looks[before].signed()]) is None:
        return
    after = by_statements([*looks, replace(last, day=4)])
    assert after is not None
    opened = accusation([[*looks, last][after].signed()]) is None
    assert not opened or (last.verdict == "clean" and last.critical == 0)


def test_a_policy_chooses_among_calm_verdicts_but_not_past_a_doubt() -> None:
    brief, deep = Look("clean", "quick", 2).signed(), Look("clean", "thorough", 1).signed()
    doubt = Look("inconclusive", "thorough", 3).signed()

    def is_brief(one: Signed) -> bool:
        return one.predicate is not None and one.predicate["profile"] == "quick"

    assert relied_on([brief, deep]) is deep
    assert relied_on([brief, deep], is_brief) is brief
    assert relied_on([brief, deep], lambda _: False) is deep
    assert relied_on([brief, deep, doubt], is_brief) is doubt
    weak = Look("inconclusive", "quick", 3).signed()
    assert relied_on([deep, weak], lambda one: one is deep) is deep
