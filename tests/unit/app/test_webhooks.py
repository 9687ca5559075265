"""Endpoints, the delivery outbox and the retry schedule."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.db import clock
from app.db.base import utcnow
from app.settings import RETRY_SCHEDULE_S, Settings
from app.webhooks import service
from tests.support.ledger import Ledger
from tests.support.outbox import take_any

URL = "https://example.org/hook"


def add(ledger: Ledger, **wishes: Any) -> dict[str, Any]:
    answer = ledger.api.post("/v1/webhook_endpoints", json={"url": URL} | wishes)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def canceled(ledger: Ledger, **wishes: Any) -> str:
    """An inspection that has just ended, and so has an event to tell."""
    row = ledger.inspection(**wishes)
    ledger.api.post(f"/v1/inspections/{row['id']}/cancel")
    return str(row["id"])


def deliveries(ledger: Ledger, **query: str) -> list[dict[str, Any]]:
    return list(ledger.api.get("/v1/deliveries", params=query).json()["items"])


def result(status_code: int | None, **fields: Any) -> service.AttemptResult:
    now = utcnow()
    error = None if status_code else "ConnectError"
    return service.AttemptResult(now, now, "192.0.2.1", status_code, error, **fields)


def attempt(ledger: Ledger, status_code: int | None, **fields: Any) -> service.DueDelivery:
    due = take(ledger)
    assert due is not None
    record(ledger, due, result(status_code, **fields))
    return due


def take(ledger: Ledger) -> service.DueDelivery | None:
    return take_any(ledger.context.database)


def record(ledger: Ledger, due: service.DueDelivery, outcome: service.AttemptResult) -> None:
    service.record_attempt(ledger.context.database, due, outcome, RETRY_SCHEDULE_S)


def test_the_secret_is_shown_once(ledger: Ledger) -> None:
    made = add(ledger)
    assert made["secret"].startswith("whsec_")
    seen = ledger.api.get(f"/v1/webhook_endpoints/{made['id']}").json()
    assert seen == made | {"secret": None}
    assert ledger.api.get("/v1/webhook_endpoints").json()["items"] == [seen]


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://example.org/", "begins with https://"),
        ("https://10.0.0.1/", "10.0.0.1 is not a public address"),
        ("https://example.org:22/", "port 22 is not allowed"),
        ("https://☃.example.org/", "has no ASCII form"),
    ],
)
def test_bad_targets_are_refused(ledger: Ledger, url: str, fault: str) -> None:
    wish = {"upload_id": ledger.upload(b"some bytes")["id"], "backbone": "pocket"}
    for path, body in [
        ("/v1/webhook_endpoints", {"url": url}),
        ("/v1/inspections", wish | {"classes": ["cat", "dog"], "webhook": {"url": url}}),
    ]:
        answer = ledger.api.post(path, json=body)
        told = answer.json()
        assert (answer.status_code, told["code"]) == (422, "forbidden_webhook_target"), path
        assert fault in told["detail"]


def test_a_bad_secret_is_422(ledger: Ledger) -> None:
    answer = ledger.api.post("/v1/webhook_endpoints", json={"url": URL, "secret": "hunter2"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_an_end_is_told_to_those_who_asked(ledger: Ledger) -> None:
    wants_all = add(ledger)
    add(ledger, events=["inspection.completed"])
    deleted = add(ledger)
    assert ledger.api.delete(f"/v1/webhook_endpoints/{deleted['id']}").status_code == 204
    own = canceled(ledger, webhook={"url": URL, "events": ["inspection.canceled"]})
    other = canceled(ledger)
    told = deliveries(ledger)
    assert len(told) == 3
    assert [item["endpoint_id"] for item in told if item["inspection_id"] == other] == [
        wants_all["id"]
    ]
    assert len({item["event_id"] for item in told if item["inspection_id"] == own}) == 1
    assert {item["event_type"] for item in told} == {"inspection.canceled"}


def test_success_ends_a_delivery(ledger: Ledger) -> None:
    add(ledger)
    canceled(ledger)
    attempt(ledger, 204)
    (item,) = deliveries(ledger)
    assert (item["status"], item["next_attempt_at"]) == ("delivered", None)
    assert item["attempts"][0]["status_code"] == 204
    assert take(ledger) is None


def test_a_taken_delivery_is_taken_once(ledger: Ledger) -> None:
    add(ledger)
    canceled(ledger)
    assert take(ledger) is not None
    assert take(ledger) is None


@pytest.mark.parametrize("status_code", [None, 302, 400, 500])
def test_failures_follow_the_schedule_and_then_end(
    ledger: Ledger, status_code: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(ledger)
    canceled(ledger)
    now, ids, waits = utcnow(), set(), []
    monkeypatch.setattr(clock, "now", lambda _session: now)
    for _ in RETRY_SCHEDULE_S:
        due = take(ledger)
        assert due is not None
        ids.add(due.event_id)
        outcome = service.AttemptResult(now, now, None, status_code, "error")
        record(ledger, due, outcome)
        (item,) = deliveries(ledger)
        if item["next_attempt_at"] is not None:
            at = datetime.fromisoformat(item["next_attempt_at"])
            waits.append((at - now).total_seconds())
            now = at + timedelta(seconds=1)
    assert item["status"] == "failed"
    assert len(item["attempts"]) == len(RETRY_SCHEDULE_S)
    assert len(ids) == 1
    for planned, real in zip(RETRY_SCHEDULE_S[1:], waits, strict=True):
        assert planned <= real <= planned * 1.1


def test_the_receiver_s_own_wish_is_honoured(ledger: Ledger) -> None:
    add(ledger)
    canceled(ledger)
    attempt(ledger, 429, retry_after_s=120.0)
    (item,) = deliveries(ledger)
    at = datetime.fromisoformat(item["next_attempt_at"])
    assert at > utcnow() + timedelta(seconds=100)


def test_gone_disables_the_endpoint(ledger: Ledger) -> None:
    made = add(ledger)
    canceled(ledger)
    canceled(ledger)
    attempt(ledger, 410)
    seen = ledger.api.get(f"/v1/webhook_endpoints/{made['id']}").json()
    assert seen["disabled_at"] is not None
    assert {item["status"] for item in deliveries(ledger)} == {"failed"}
    canceled(ledger)
    assert len(deliveries(ledger)) == 2


def test_redelivery_keeps_the_message_id(ledger: Ledger) -> None:
    add(ledger)
    canceled(ledger)
    first = attempt(ledger, 200)
    (item,) = deliveries(ledger)
    answer = ledger.api.post(f"/v1/deliveries/{item['id']}/redeliver")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert attempt(ledger, 200).event_id == first.event_id
    (item,) = deliveries(ledger)
    assert len(item["attempts"]) == 2


def test_redelivery_of_what_is_being_sent_is_not_sent_beside_it(ledger: Ledger) -> None:
    add(ledger)
    canceled(ledger)
    due = take(ledger)
    assert due is not None
    assert ledger.api.post(f"/v1/deliveries/{due.delivery_id}/redeliver").status_code == 202
    assert take(ledger) is None
    record(ledger, due, result(None))
    (item,) = deliveries(ledger)
    assert (item["status"], len(item["attempts"])) == ("pending", 1)


def test_who_lost_the_row_logs_and_leaves_it_to_the_next(ledger: Ledger) -> None:
    add(ledger)
    canceled(ledger)
    late = take_any(ledger.context.database, lease_s=-1)
    heir = take(ledger)
    assert late is not None
    assert heir is not None
    record(ledger, late, result(None))
    assert take(ledger) is None
    record(ledger, heir, result(204))
    (item,) = deliveries(ledger)
    assert [one["status_code"] for one in item["attempts"]] == [None, 204]
    assert item["status"] == "delivered"


def test_an_attempt_that_ends_after_its_endpoint_revives_nothing(ledger: Ledger) -> None:
    made = add(ledger)
    canceled(ledger)
    due = take(ledger)
    assert due is not None
    ledger.api.delete(f"/v1/webhook_endpoints/{made['id']}")
    record(ledger, due, result(500))
    (item,) = deliveries(ledger)
    assert (item["status"], item["next_attempt_at"]) == ("failed", None)
    assert len(item["attempts"]) == 1


@pytest.mark.parametrize("bad", ["[]", "[-1]", "[NaN]"])
def test_a_schedule_that_is_none_is_refused(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPVET_WEBHOOK_RETRY_S", bad)
    with pytest.raises(ValueError, match="webhook_retry_s"):
        Settings()


def test_deliveries_can_be_filtered(ledger: Ledger) -> None:
    made = add(ledger)
    one, _two = canceled(ledger), canceled(ledger)
    assert len(deliveries(ledger, inspection_id=one)) == 1
    assert len(deliveries(ledger, endpoint_id=made["id"])) == 2
    assert deliveries(ledger, endpoint_id="whe_0") == []
