"""Whatever a report says, the page says it as text: no markup, no reordering, no crash."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inspector.advice import REMEDIES
from inspector.findings import WEAKNESSES, Finding, Severity
from inspector.page import Sources, render
from inspector.page.kinds import (
    KINDS,
    NOT_DONE,
    OUT_OF_TIME,
    RUNS_CODE,
    UNKNOWN_CODE,
    UNSUPPORTED,
    kind_of,
)
from tests.page.seen import Seen
from tests.page.stored import Stored

ATTACKS = [
    "</style></title><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)",
    "{{ 7 * 17771 }}{% include 'x' %}", "\u202eexe.nimda", "\u0000\u0007\x1b[2J", "\ud800", "a\u200bb\u2066c",
    "javascript:alert(1)", "&lt;b&gt;", "x" * 100_000, "line\nline", "<svg onload=1>", "{0} {name} %s",
]  # fmt: skip
UNSEEN = "\u202e\u0000\u0007\x1b\u200b\u2066"
TAGS = {
    "a", "bdi", "body", "code", "data", "dd", "desc", "details", "div", "dl", "dt", "em", "figcaption", "figure",
    "h1", "h2", "h3", "html", "li", "main", "ol", "p", "pre", "section", "span", "strong", "summary", "svg",
    "table", "tbody", "td", "text", "th", "thead", "time", "title", "tr", "tspan", "ul",
}  # fmt: skip
ODD: list[Any] = [None, True, -1, 0, 1e308, 5, "7", [], {}, [1], {"a": 1}, [None], [[]], "", 10**30]


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value with every leaf changed."""
    if isinstance(value, dict):
        return {key: changed(one, change) for key, one in value.items()}
    if isinstance(value, list):
        return [changed(one, change) for one in value]
    return change(value)


def drawn(report: Any, record: Any) -> str:
    return render(Sources(json.dumps(report), record, lambda _: b"\x89PNG"))


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
@pytest.mark.parametrize("name", ["repaired", "runs-code", "clean"])
def test_every_string_of_report_and_record_is_text(name: str, attack: str) -> None:
    stored = Stored(name)
    keep = {"backdoored", "clean", "inconclusive", RUNS_CODE, "failed", "image/png"}

    def planted(value: Any) -> Any:
        return attack if isinstance(value, str) and value not in keep else value

    page = drawn(changed(stored.report, planted), changed(stored.record, planted))
    seen = Seen.of(page)
    assert {tag for around, _ in seen.texts for tag, _ in around} <= TAGS
    for piece in ("<script", "<img src=x", "onerror=alert(1)>", "<svg onload", "124397"):
        assert piece not in page.replace("&", "")
    assert not set(UNSEEN) & set(page)
    page.encode("utf-8")
    assert "style=" not in page and "javascript:alert" not in "".join(_links(page))
    assert len(page) < 3_000_000


def _links(page: str) -> Iterator[str]:
    for part in page.split("href=")[1:]:
        yield part.split(">")[0]


def test_keys_are_text_too() -> None:
    report = copy.deepcopy(Stored("backdoored").report)
    for row in report["per_class"]:
        row["spaces"] = {"<script>": 0.5}
    record = Stored("backdoored").record | {"labels": {"<script>": "</dd><script>"}}
    page = drawn(report, record)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("name", ["repaired", "runs-code", "some-classes"])
def test_a_report_with_values_of_wrong_kinds_is_drawn_all_the_same(name: str) -> None:
    """An old report, or one of a later version: what is not understood is left out."""
    stored = Stored(name)
    for seed in range(8):
        dice = random.Random(seed)

        def odd(value: Any, dice: random.Random = dice) -> Any:
            return dice.choice(ODD) if dice.random() < 0.15 else value

        Seen.of(drawn(changed(stored.report, odd), changed(stored.record, odd)))


@pytest.mark.parametrize("other", [None, 5, "7", [1], {"a": 1}], ids=str)
def test_a_report_with_one_field_of_a_wrong_kind_is_drawn_all_the_same(other: Any) -> None:
    report = Stored("repaired").report
    for key in report:
        Seen.of(drawn(report | {key: other}, {}))


@pytest.mark.parametrize("body", ["[]", "3", "null", '"x"', "{"])
def test_what_is_no_report_is_refused(body: str) -> None:
    with pytest.raises(ValueError):
        render(Sources(body, {}, lambda _: None))


def test_an_empty_report_promises_nothing() -> None:
    told = Seen.of(render(Sources("{}", {}, lambda _: None))).below("page-one")
    assert KINDS["inconclusive"].headline in told
    assert "Do not treat the file as safe" in told


def test_pictures_that_are_not_those_of_the_report_are_left_out() -> None:
    stored = Stored("backdoored")
    page = render(Sources(stored.body, {}, lambda _: b"\x89PNG other"))
    assert "data:image" not in page
    assert "are left out" in page
    huge = render(
        Sources(stored.body, {}, lambda name: (stored.fetch(name) or b"") + bytes(3_000_000))
    )
    assert "data:image" not in huge


REPORT = Stored("torn").report


@pytest.mark.parametrize("identifier", WEAKNESSES)
def test_no_finding_on_an_unread_file_makes_it_look_safe(identifier: str) -> None:
    finding = Finding(identifier, Severity.HIGH, "what was found").to_json()
    report = REPORT | {"findings": [finding]}
    kind = kind_of(report, {})
    assert kind.name not in (
        "clean",
        "suspicious",
        "backdoored",
        "repaired",
        "repair-unproved",
        "repair-failed",
        "failed",
    )
    told = Seen.of(drawn(report, {})).below("q-do")
    assert "What was found." in told and REMEDIES[identifier][:40] in told


def test_findings_that_choose_a_headline_are_findings_that_exist() -> None:
    assert {RUNS_CODE, UNKNOWN_CODE, OUT_OF_TIME} | UNSUPPORTED | NOT_DONE <= set(WEAKNESSES)


def accused(verdict: str, outcome: str | None) -> dict[str, Any]:
    told = {"outcome": outcome, "succeeded": outcome == "repaired"}
    repair = None if outcome is None else Stored("repaired").report["repair"] | told
    return Stored("backdoored").report | {"verdict": verdict, "repair": repair}


def before_words(succeeded: bool) -> dict[str, Any]:
    """A report from before repairs had an outcome."""
    report = accused("backdoored", "failed")
    report["repair"] = {
        key: value
        for key, value in report["repair"].items()
        if key not in ("outcome", "strategy", "accuracy", "candidates")
    } | {"succeeded": succeeded}
    return report


CODE = Finding(RUNS_CODE, Severity.CRITICAL, "the pickle would run os.system").to_json()
STRANGE = Finding(UNKNOWN_CODE, Severity.HIGH, "holds code that we do not know").to_json()
KIND_OF = [
    ("suspicious", accused("suspicious", None)),
    ("backdoored", accused("backdoored", None)),
    ("repaired", accused("backdoored", "repaired")),
    ("repaired", accused("suspicious", "repaired")),
    ("repair-unproved", accused("backdoored", "unproved")),
    ("repair-unproved", accused("suspicious", "unproved")),
    ("repair-failed", accused("backdoored", "failed")),
    ("repair-failed", accused("backdoored", "a new one")),
    ("repair-unproved", before_words(succeeded=True)),
    ("repair-failed", before_words(succeeded=False)),
    ("runs-code", accused("backdoored", None) | {"findings": [CODE]}),
    ("runs-code", Stored("clean").report | {"findings": [CODE]}),
    ("backdoored", accused("backdoored", None) | {"findings": [STRANGE]}),
    ("unknown-code", Stored("clean").report | {"verdict": "inconclusive", "findings": [STRANGE]}),
    ("not-done", REPORT | {"findings": [Finding("request-invalid", Severity.MEDIUM, "x").to_json()]}),
    ("inconclusive", Stored("clean").report | {"verdict": "a new one"}),
    ("failed", None),
    ("canceled", None),
    ("expired", None),
    ("under-way", None),
]  # fmt: skip
STATUSES = {
    "failed": ["failed", "a new one"],
    "canceled": ["canceled"],
    "expired": ["expired"],
    "under-way": ["queued", "validating", "running"],
}


@pytest.mark.parametrize(("kind", "report"), KIND_OF)
def test_each_verdict_and_end_has_its_own_page(kind: str, report: dict[str, Any] | None) -> None:
    stored = Stored("clean").record
    for status in STATUSES[kind] if report is None else ["succeeded"]:
        record = stored | {"status": status}
        assert kind_of(report, record).name == kind
        body = None if report is None else json.dumps(report)
        seen = Seen.of(render(Sources(body, record, lambda _: None)))
        assert KINDS[kind].headline in seen.below("q-safe")
        assert KINDS[kind].action in seen.below("q-do")
        assert KINDS[kind].vendor in seen.below("q-vendor")


def test_a_page_without_a_report_says_what_failed_and_how_far_it_is() -> None:
    record = Stored("clean").record | {"result": None, "verdict": None, "summary": None}
    error = {"code": "artifact_gone", "message": "the stored bytes are gone"}
    failed = Seen.of(
        render(Sources(None, record | {"status": "failed", "error": error}, lambda _: None))
    )
    assert "The stored bytes are gone." in failed.below("q-do")
    assert "Upload the file again" in failed.below("q-do")
    at_work = {"status": "running", "stage": "inversion", "finished_at": None, "progress": 0.4}
    told = Seen.of(render(Sources(None, record | at_work, lambda _: None)))
    assert "It is running; its stage is inversion." in told.below("q-do")
    assert "not finished yet" in told.below("q-who")
    for seen in (failed, told):
        assert "no policy was evaluated" in seen.below("page-one")
        assert stored_sha256(record) in seen.below("q-same")


def stored_sha256(record: dict[str, Any]) -> str:
    sha256: str = record["artifact"]["sha256"]
    return sha256


def test_kinds_are_told_apart_by_more_than_colour() -> None:
    headlines = [kind.headline for kind in KINDS.values()]
    assert len(set(headlines)) == len(headlines)
    assert len({kind.action for kind in KINDS.values()}) == len(headlines)
    assert all(kind.sign.strip() for kind in KINDS.values())


def test_a_repair_that_failed_is_never_called_usable() -> None:
    told = Seen.of(drawn(accused("backdoored", "failed"), {}))
    assert "must not be used" in told.below("repair")
    assert "No: the copy did not pass" in told.below("q-repair")


@pytest.mark.parametrize(
    "report", [accused("backdoored", "unproved"), before_words(succeeded=True)]
)
def test_a_repair_that_is_not_proved_never_looks_like_success(report: dict[str, Any]) -> None:
    told = Seen.of(drawn(report, {}))
    assert "must not be used yet" in told.below("repair")
    assert "Not yet" in told.below("q-repair")
    assert "passed the check" not in told.below("page-one") + told.below("repair")


def test_one_word_alone_makes_no_success() -> None:
    """Where two fields of a report that nobody of ours wrote disagree, the worse one counts."""
    report = accused("backdoored", "repaired")
    report["repair"]["succeeded"] = False
    assert kind_of(report, {}).name == "repair-failed"
