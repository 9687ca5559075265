"""Creating, watching, listing and cancelling inspections over HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from app.models import Inspection
from tests.support.ledger import CLASSES, Ledger, settings_in


def test_create_answers_202_and_can_be_read_at_once(ledger: Ledger) -> None:
    upload = ledger.upload(b"some bytes")
    body = {"upload_id": upload["id"], "backbone": "ViT-B-16/openai", "classes": CLASSES}
    answer = ledger.api.post("/v1/inspections", json=body | {"labels": {"team": "x"}})
    assert answer.status_code == 202
    assert answer.headers["Retry-After"] == "2"
    seen = ledger.api.get(answer.headers["Location"])
    assert (seen.status_code, seen.json()["status"]) == (200, "queued")
    assert seen.headers["Retry-After"] == "2"
    assert seen.json() == answer.json()
    assert seen.json()["verdict"] is None
    assert seen.json()["labels"] == {"team": "x"}


@pytest.mark.parametrize("stated", [{}, {"manifest": {"method": "coop"}}, {"manifest": {}}])
def test_names_that_nobody_states_are_left_to_the_file(
    ledger: Ledger, stated: dict[str, Any]
) -> None:
    upload = ledger.upload(b"some bytes")
    body = {"upload_id": upload["id"], "backbone": "pocket"} | stated
    row = ledger.api.post("/v1/inspections", json=body).json()
    with ledger.context.database.read() as session:
        asked = session.get_one(Inspection, row["id"]).request
    assert asked["manifest"] == (stated.get("manifest") or {"method": "auto"})


def test_known_bytes_need_no_second_upload(ledger: Ledger) -> None:
    upload = ledger.upload(b"some bytes")
    body = {"sha256": upload["sha256"], "backbone": "pocket", "classes": CLASSES}
    answer = ledger.api.post("/v1/inspections", json=body)
    assert answer.status_code == 202
    assert answer.json()["artifact"]["upload_id"] == upload["id"]


@pytest.mark.parametrize(
    "change",
    [
        {"upload_id": None},
        {"sha256": "0" * 64},
        {"classes": []},
        {"manifest": {"classnames": ["a"]}},
        {"classes": None, "manifest": {"method": "auto", "classnames": None}},
        {"classes": None, "manifest": {"method": "auto", "classnames": [1]}},
        {"backbone": "/etc/passwd"},
        {"backbone": "../secret"},
        {"backbone": ""},
        {"backbone": "a\nb"},
        {"profile": "best"},
        {"seed": -1},
        {"budget_s": -1},
        {"targets": 1},
        {"targets": -2},
        {"probes": "/tmp/x.zip"},
        {"labelled": "/tmp/x.zip", "repair": True},
        {"labelled": "builtin", "repair": True},
        {"pairs": "../shard.tar", "repair": True},
        {"in_distribution": True},
        {"in_distribution": "often"},
        {"surprise": 1},
    ],
)
def test_what_does_not_fit_the_schema_is_422(ledger: Ledger, change: dict[str, Any]) -> None:
    upload = ledger.upload(b"some bytes")
    body = {"upload_id": upload["id"], "backbone": "pocket", "classes": CLASSES} | change
    answer = ledger.api.post("/v1/inspections", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("ViT-B/16", "ViT-B-16/openai"),
        ("openai/clip-vit-large-patch14-336", "ViT-L-14-336/openai"),
        ("ViT-L/14@336px", "ViT-L-14-336/openai"),
        ("hf-hub:laion/CLIP-of-Tomorrow", "hf-hub:laion/CLIP-of-Tomorrow"),
        (f"pocket@sha256:{'A' * 64}", f"pocket@sha256:{'a' * 64}"),
    ],
)
def test_a_backbone_is_understood_as_it_is_typed(ledger: Ledger, typed: str, name: str) -> None:
    assert ledger.inspection(backbone=typed)["backbone"] == name


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("poket", "pocket"),
        ("ViT-B/61", "ViT-B/16"),
        ("ViT-B-16/openia", "ViT-B-16/openai"),
        ("our-clip", "ours-clip"),
        ("a/b/c", None),
        ("backbones/../../etc", None),
    ],
)
def test_a_slip_in_a_backbones_name_is_answered_at_once(
    tmp_path: Path, typed: str, nearest: str | None
) -> None:
    ledger = Ledger(settings_in(tmp_path, backbones={"ours-clip": "/srv/secret/clip"}))
    upload = ledger.upload(b"some bytes")
    body = {"upload_id": upload["id"], "backbone": typed, "classes": CLASSES}
    headers = {"Idempotency-Key": "once"}
    answer = ledger.api.post("/v1/inspections", json=body, headers=headers)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "unknown_backbone")
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["registered"] == ["ours-clip", "pocket"]
    assert nearest is None or nearest in problem["nearest"]
    for name in ("ours-clip", "pocket", *problem["nearest"]):
        assert name in problem["detail"]
    assert "/srv" not in answer.text
    assert ledger.api.get("/v1/inspections").json()["items"] == []
    # The key is still free for what was meant.
    mended = ledger.api.post("/v1/inspections", json=body | {"backbone": "pocket"}, headers=headers)
    assert mended.status_code == 202
    assert "pocket" in ledger.api.get("/v1/metadata").json()["registered_backbones"]
    ledger.close()


@pytest.mark.parametrize("option", ["labelled", "pairs"])
def test_what_serves_a_repair_is_refused_by_name_without_one(ledger: Ledger, option: str) -> None:
    upload = ledger.upload(b"some bytes")["id"]
    body = {"upload_id": upload, "backbone": "pocket", "classes": CLASSES, option: upload}
    for more in ({}, {"repair": False}):
        answer = ledger.api.post("/v1/inspections", json=body | more)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        (error,) = answer.json()["errors"]
        assert error["location"] == ["body", option]
        assert f"set repair to true, or leave {option} out" in error["message"]
    assert ledger.api.post("/v1/inspections", json=body | {"repair": True}).status_code == 202


@pytest.mark.parametrize("option", ["probes", "labelled", "pairs"])
def test_pictures_must_be_complete_uploads(ledger: Ledger, option: str) -> None:
    upload = ledger.upload(b"some bytes")["id"]
    body = {"upload_id": upload, "backbone": "pocket", "classes": CLASSES, "repair": True}
    open_one = ledger.api.post("/v1/uploads", json={"filename": "m", "size": 5}).json()["id"]
    for pictures, status, code in (
        (open_one, 409, "upload_incomplete"),
        ("upl_" + "0" * 32, 404, "not_found"),
    ):
        answer = ledger.api.post("/v1/inspections", json=body | {option: pictures})
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_upload_must_be_complete(ledger: Ledger) -> None:
    upload = ledger.api.post("/v1/uploads", json={"filename": "m", "size": 5}).json()
    body = {"upload_id": upload["id"], "backbone": "pocket", "classes": CLASSES}
    answer = ledger.api.post("/v1/inspections", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_incomplete")


def test_an_idempotency_key_creates_once(ledger: Ledger) -> None:
    upload = ledger.upload(b"some bytes")
    body = {"upload_id": upload["id"], "backbone": "pocket", "classes": CLASSES}
    headers = {"Idempotency-Key": "once"}
    first = ledger.api.post("/v1/inspections", json=body, headers=headers)
    again = ledger.api.post("/v1/inspections", json=body, headers=headers)
    assert again.status_code == 202
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    repair = {"repair": True, "labelled": upload["id"]}
    for change in ({"seed": 1}, {"repair": True}, repair):
        other = ledger.api.post("/v1/inspections", json=body | change, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(ledger.api.get("/v1/inspections").json()["items"]) == 1


def test_a_failed_request_does_not_use_up_its_key(ledger: Ledger) -> None:
    body = {"sha256": "0" * 64, "backbone": "pocket", "classes": CLASSES}
    headers = {"Idempotency-Key": "later"}
    assert ledger.api.post("/v1/inspections", json=body, headers=headers).status_code == 404
    assert ledger.api.post("/v1/inspections", json=body, headers=headers).status_code == 404


def test_waiting_ends_with_the_inspection_or_the_time(ledger: Ledger) -> None:
    row = ledger.inspection()
    begun = time.monotonic()
    seen = ledger.api.get(f"/v1/inspections/{row['id']}?wait=0.4")
    assert seen.json()["status"] == "queued"
    assert 0.4 <= time.monotonic() - begun < 3
    ledger.api.post(f"/v1/inspections/{row['id']}/cancel")
    begun = time.monotonic()
    ended = ledger.api.get(f"/v1/inspections/{row['id']}", headers={"Prefer": "wait=30"})
    assert ended.json()["status"] == "canceled"
    assert "Retry-After" not in ended.headers
    assert time.monotonic() - begun < 3


def test_cancel_is_idempotent(ledger: Ledger) -> None:
    row = ledger.inspection()
    for _ in range(2):
        answer = ledger.api.post(f"/v1/inspections/{row['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (202, "canceled")
    events = ledger.api.get(f"/v1/inspections/{row['id']}/events").json()["items"]
    assert [event["seq"] for event in events] == [1, 2]
    assert [event["status"] for event in events] == ["queued", "canceled"]


def test_lists_are_paged_newest_first(ledger: Ledger) -> None:
    upload = ledger.upload(b"some bytes")
    ids = [ledger.inspection(upload["id"], seed=seed)["id"] for seed in range(5)]
    seen, token = [], None
    for _ in range(3):
        query = {"limit": 2} | ({"page_token": token} if token else {})
        page = ledger.api.get("/v1/inspections", params=query).json()
        seen += [row["id"] for row in page["items"]]
        token = page["next_page_token"]
        assert page["has_more"] == (token is not None)
    assert seen == sorted(ids, reverse=True)
    bad = ledger.api.get("/v1/inspections?page_token=nonsense")
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_page_token")


def test_events_are_paged_in_order(ledger: Ledger) -> None:
    row = ledger.inspection()
    ledger.api.post(f"/v1/inspections/{row['id']}/cancel")
    path = f"/v1/inspections/{row['id']}/events"
    first = ledger.api.get(path, params={"limit": 1}).json()
    second = ledger.api.get(path, params={"page_token": first["next_page_token"]}).json()
    assert [event["seq"] for event in first["items"] + second["items"]] == [1, 2]
    assert ledger.api.get(path, params={"after": 2}).json()["items"] == []


@pytest.mark.parametrize("path", ["", "/events", "/verdict", "/report.json", "/artifacts"])
def test_unknown_inspections_are_404(ledger: Ledger, path: str) -> None:
    answer = ledger.api.get(f"/v1/inspections/insp_0{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["verdict", "report.json", "report.html"])
def test_there_is_no_verdict_before_the_end(ledger: Ledger, path: str) -> None:
    row = ledger.inspection()
    waiting = ledger.api.get(f"/v1/inspections/{row['id']}/{path}")
    assert (waiting.status_code, waiting.json()["code"]) == (409, "not_ready")
    ledger.api.post(f"/v1/inspections/{row['id']}/cancel")
    ended = ledger.api.get(f"/v1/inspections/{row['id']}/{path}")
    assert (ended.status_code, ended.json()["code"]) == (409, "no_verdict")


def test_models_lists_what_is_known_of_a_hash(ledger: Ledger) -> None:
    upload = ledger.upload(b"some bytes")
    assert ledger.api.get(f"/v1/models/{upload['sha256']}").status_code == 404
    row = ledger.inspection(upload["id"])
    known = ledger.api.get(f"/v1/models/{upload['sha256']}").json()
    assert [item["id"] for item in known["items"]] == [row["id"]]


def test_the_secret_of_an_own_webhook_is_shown_once(ledger: Ledger) -> None:
    row = ledger.inspection(webhook={"url": "https://example.org/hook"})
    assert row["webhook"]["secret"].startswith("whsec_")
    assert ledger.get(row["id"])["webhook"] is None
    assert ledger.api.get("/v1/webhook_endpoints").json()["items"] == []


def test_an_own_webhook_must_not_point_inside(ledger: Ledger) -> None:
    upload = ledger.upload(b"some bytes")
    body = {"upload_id": upload["id"], "backbone": "pocket", "classes": CLASSES}
    body["webhook"] = {"url": "https://169.254.169.254/latest"}
    answer = ledger.api.post("/v1/inspections", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "forbidden_webhook_target")
