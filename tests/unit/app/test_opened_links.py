"""A person opens the link of a report that is not there: a page that says why, never bare JSON."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response

from app.inspections import lease
from app.inspections.transitions import move
from app.models import Inspection, Status
from app.reports import page
from tests.page.seen import Seen
from tests.support.attested import finished
from tests.support.ledger import Ledger, settings_in

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PROGRAMS = ["*/*", "application/json", "application/problem+json, */*", ""]
HAS_PRINTER = importlib.util.find_spec("weasyprint") is not None


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(settings_in(tmp_path))
    yield made
    made.close()


def opened(ledger: Ledger, path: str, accept: str = BROWSER) -> Response:
    return ledger.api.get(path, headers={"Accept": accept})


def ended(ledger: Ledger, how: str) -> str:
    row = ledger.inspection()
    identifier = str(row["id"])
    if how == "failed":
        held = lease.claim(ledger.context.database, "w", 60)
        assert held is not None
        fault = ("artifact_gone", "the stored <bytes> are gone")
        lease.give_up(ledger.context.database, held, *fault, retry_after_s=None)
    elif how == "canceled":
        ledger.api.post(f"/v1/inspections/{identifier}/cancel")
    elif how == "expired":
        with ledger.context.database.begin() as session:
            move(session, session.get_one(Inspection, identifier), Status.EXPIRED, "too late")
    assert ledger.get(identifier)["status"] == how
    return identifier


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("queued", "has not ended yet"),
        ("canceled", "was canceled"),
        ("expired", "missed its deadline"),
        ("failed", "The inspection failed"),
    ],
)
def test_an_inspection_without_a_report_has_a_page(ledger: Ledger, how: str, said: str) -> None:
    identifier = ended(ledger, how)
    path = f"/v1/inspections/{identifier}/report.html"
    answer = opened(ledger, path)
    assert answer.status_code == 409
    assert answer.headers["content-type"].startswith("text/html")
    assert (answer.headers["vary"], answer.headers["cache-control"]) == ("Accept", "no-store")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    seen = Seen.of(answer.text)
    assert said in seen.below("q-safe")
    assert "Do not" in seen.below("q-do")
    assert identifier in seen.below("q-who")
    if how == "failed":
        assert "The stored <bytes> are gone." in seen.below("q-do")
        assert "Upload the file again" in seen.below("q-do")
    for accept in PROGRAMS:
        told = opened(ledger, path, accept)
        code = "not_ready" if how == "queued" else "no_verdict"
        assert (told.status_code, told.json()["code"]) == (409, code)
        assert told.headers["content-type"] == "application/problem+json"


def explained(answer: Response, status: int, code: str) -> str:
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert code in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert "What to do now" in answer.text
    return answer.text


@pytest.mark.parametrize("name", ["report.html", "report.pdf"])
def test_every_other_problem_of_a_page_is_a_page_too(ledger: Ledger, name: str) -> None:
    unknown = f"/v1/inspections/insp_0/{name}"
    assert "the whole link was copied" in explained(opened(ledger, unknown), 404, "not_found")
    assert opened(ledger, unknown, "*/*").json()["code"] == "not_found"
    explained(opened(ledger, f"{unknown}?<script>=1"), 422, "invalid_request")
    explained(opened(ledger, "/v1/nothing/<script>.html"), 404, "not_found")
    assert "<script" not in opened(ledger, "/v1/nothing/<script>.html?<script>=1").text
    explained(ledger.api.post(unknown, headers={"Accept": BROWSER}), 405, "method_not_allowed")
    # What no person opens stays for programs, whoever asks.
    assert opened(ledger, "/v1/inspections/insp_0").json()["code"] == "not_found"


def test_a_stranger_is_told_how_to_get_the_page(tmp_path: Path) -> None:
    ledger = Ledger(settings_in(tmp_path, api_token="the right one"))
    answer = opened(ledger, "/v1/inspections/insp_0/report.html")
    assert "Authorization: Bearer" in explained(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    ledger.close()


def test_a_report_is_printed_where_the_extra_is_installed(ledger: Ledger) -> None:
    path = f"/v1/inspections/{finished(ledger)}/report.pdf"
    answer = opened(ledger, path)
    if HAS_PRINTER:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
        assert answer.content.startswith(b"%PDF-")
        assert opened(ledger, path).content == answer.content
        return
    assert "report.html" in explained(answer, 404, "pdf_not_installed")
    told = opened(ledger, path, "*/*").json()
    assert (told["code"], told["status"]) == ("pdf_not_installed", 404)
    assert "clipvet[pdf]" in told["detail"]


def test_nothing_is_printed_before_the_end(ledger: Ledger) -> None:
    path = f"/v1/inspections/{ended(ledger, 'canceled')}/report.pdf"
    assert "report.html" in explained(opened(ledger, path), 409, "no_verdict")


def test_one_page_is_printed_at_a_time(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_PATIENCE_S", 0.05)
    path = f"/v1/inspections/{finished(ledger)}/report.pdf"
    with page._PRINTER:
        answer = opened(ledger, path, "*/*")
    assert (answer.status_code, answer.json()["code"]) == (503, "printer_busy")
    assert answer.headers["retry-after"] == "10"
    assert opened(ledger, path).status_code == (200 if HAS_PRINTER else 404)


def test_the_document_tells_of_both_forms(ledger: Ledger) -> None:
    document: dict[str, Any] = ledger.api.get("/openapi.json").json()
    for name in ("report.html", "report.pdf"):
        responses = document["paths"][f"/v1/inspections/{{inspection_id}}/{name}"]["get"][
            "responses"
        ]
        for status in ("401", "404", "409"):
            assert set(responses[status]["content"]) == {"application/problem+json", "text/html"}
    other = document["paths"]["/v1/inspections/{inspection_id}"]["get"]["responses"]["404"]
    assert set(other["content"]) == {"application/problem+json"}


def test_a_page_under_a_policy_tells_every_rule(ledger: Ledger) -> None:
    identifier = finished(ledger)
    path = f"/v1/inspections/{identifier}/report.html"
    waiver = {"rule": "profile", "reason": "an exception, ticket 7", "expires": "2099-12-31"}
    document: dict[str, Any] = {"name": "production", "profiles": ["thorough"], "min_engine": "9"}
    for more in ({"min_engine": None, "profiles": None}, {"waivers": [waiver]}):
        assert ledger.api.post("/v1/policies", json=document | more).status_code == 201
    plain = opened(ledger, path).text
    seen = Seen.of(opened(ledger, f"{path}?policy=production").text)
    assert "fail under “production”, version 2" in seen.below("page-one")
    assert "the policy’s evaluation" in seen.below("q-check")
    told = seen.below("policy")
    for piece in (
        "profile",
        "waived",
        "an exception, ticket 7",
        "engine",
        "failed",
        "Update the service",
    ):
        assert piece in told
    first = Seen.of(opened(ledger, f"{path}?policy=production&version=1").text)
    assert "pass under “production”, version 1" in first.below("page-one")
    assert opened(ledger, path).text == plain
    explained(opened(ledger, f"{path}?policy=nobody"), 404, "not_found")
    explained(opened(ledger, f"{path}?policy=..%2F"), 422, "invalid_request")
    evaluated = {"inspection_id": identifier, "policy": "production"}
    answer = ledger.api.post("/v1/evaluations", json=evaluated).json()
    for rule in answer["rules"]:
        assert rule["found"] in told
