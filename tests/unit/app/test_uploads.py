"""Uploads: parts, hashes, limits, resuming, and everything that may go wrong on the way."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.db.base import utcnow
from app.models import Upload
from app.uploads import service, spool
from app.uploads.service import part_ranges
from tests.support.ledger import Ledger

DATA = bytes(range(256)) * 10


def begin(ledger: Ledger, data: bytes = DATA, **declared: Any) -> dict[str, Any]:
    body = {"filename": "m.pth", "size": len(data)} | declared
    answer = ledger.api.post("/v1/uploads", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def send(ledger: Ledger, part: dict[str, Any], data: bytes = DATA) -> Any:
    piece = data[part["start_offset"] : part["end_offset"]]
    return ledger.api.put(part["upload_url"], content=piece)


def test_parts_cover_every_byte_once() -> None:
    ranges = part_ranges(2560, 1024)
    assert [(part.number, part.start, part.end) for part in ranges] == [
        (1, 0, 1024),
        (2, 1024, 2048),
        (3, 2048, 2560),
    ]


def test_bytes_arrive_in_parts_and_are_hashed_here(ledger: Ledger) -> None:
    upload = begin(ledger)
    assert (upload["mode"], len(upload["parts"])) == ("multipart", 3)
    for part in reversed(upload["parts"]):
        answer = send(ledger, part)
        piece = DATA[part["start_offset"] : part["end_offset"]]
        assert answer.headers["ETag"] == f'"{hashlib.sha256(piece).hexdigest()}"'
    done = ledger.api.post(f"/v1/uploads/{upload['id']}/complete").json()
    assert (done["status"], done["size"]) == ("stored", len(DATA))
    assert done["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert ledger.stored_bytes(upload["id"]) == DATA


def test_complete_can_be_repeated_and_leaves_no_parts(ledger: Ledger) -> None:
    done = ledger.upload(DATA)
    again = ledger.api.post(f"/v1/uploads/{done['id']}/complete")
    assert again.json() == done
    assert list((ledger.settings.data_dir / "store" / "incoming").iterdir()) == []
    assert list(ledger.settings.spool_dir.iterdir()) == []


def test_a_broken_upload_is_resumed_where_it_stopped(ledger: Ledger) -> None:
    upload = begin(ledger)
    send(ledger, upload["parts"][0])
    missing = ledger.api.post(f"/v1/uploads/{upload['id']}/complete")
    assert (missing.status_code, missing.json()["code"]) == (409, "parts_missing")
    assert missing.json()["parts"] == [2, 3]
    seen = ledger.api.get(f"/v1/uploads/{upload['id']}").json()
    assert [part["received"] for part in seen["parts"]] == [True, False, False]
    for part in seen["parts"]:
        if not part["received"]:
            send(ledger, part)
    assert ledger.api.post(f"/v1/uploads/{upload['id']}/complete").status_code == 200


def test_a_part_may_be_sent_again(ledger: Ledger) -> None:
    upload = begin(ledger, b"right")
    assert ledger.api.put(upload["parts"][0]["upload_url"], content=b"wrong").status_code == 200
    assert ledger.api.put(upload["parts"][0]["upload_url"], content=b"right").status_code == 200
    done = ledger.api.post(f"/v1/uploads/{upload['id']}/complete").json()
    assert done["sha256"] == hashlib.sha256(b"right").hexdigest()


def test_other_bytes_than_declared_are_refused_and_can_be_sent_again(ledger: Ledger) -> None:
    upload = begin(ledger, sha256=hashlib.sha256(DATA).hexdigest())
    for part in upload["parts"]:
        send(ledger, part, DATA[::-1])
    refused = ledger.api.post(f"/v1/uploads/{upload['id']}/complete")
    assert (refused.status_code, refused.json()["code"]) == (422, "sha256_mismatch")
    for part in upload["parts"]:
        assert send(ledger, part).status_code == 200
    assert ledger.api.post(f"/v1/uploads/{upload['id']}/complete").status_code == 200


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(b"abc", 422, "part_size_mismatch"), (b"abcdef", 413, "too_large")],
)
@pytest.mark.parametrize("announced", [True, False])
def test_a_part_has_exactly_its_length(
    ledger: Ledger, content: bytes, status: int, code: str, announced: bool
) -> None:
    upload = begin(ledger, b"abcde")
    body: Any = content if announced else iter([content])
    answer = ledger.api.put(upload["parts"][0]["upload_url"], content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ledger.api.get(f"/v1/uploads/{upload['id']}").json()["parts"][0]["received"] is False
    assert list(ledger.settings.spool_dir.glob("*")) == []


def test_too_large_an_artifact_is_refused_before_any_byte(ledger: Ledger) -> None:
    answer = ledger.api.post("/v1/uploads", json={"filename": "m", "size": 10_001})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.json()["limit_bytes"] == 10_000


def test_a_full_disk_loses_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = begin(ledger, b"abcde")

    def full(_spool: object, _block: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool._Spool, "write", full)
        answer = ledger.api.put(upload["parts"][0]["upload_url"], content=b"abcde")
        assert (answer.status_code, answer.json()["code"]) == (507, "insufficient_storage")
    assert list(ledger.settings.spool_dir.iterdir()) == []
    assert ledger.api.put(upload["parts"][0]["upload_url"], content=b"abcde").status_code == 200
    assert ledger.api.post(f"/v1/uploads/{upload['id']}/complete").status_code == 200


def test_a_full_disk_while_joining_can_be_tried_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = begin(ledger)
    for part in upload["parts"]:
        send(ledger, part)

    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(ledger.context.store), "_write", full)
        answer = ledger.api.post(f"/v1/uploads/{upload['id']}/complete")
        assert (answer.status_code, answer.json()["code"]) == (507, "insufficient_storage")
    assert ledger.api.post(f"/v1/uploads/{upload['id']}/complete").status_code == 200


def test_a_crash_between_join_and_commit_is_repaired_by_complete(ledger: Ledger) -> None:
    upload = begin(ledger)
    for part in upload["parts"]:
        send(ledger, part)
    store = ledger.context.store
    with ledger.context.database.begin() as session:
        row = session.get_one(Upload, upload["id"])
        row.status = "joining"
        names = [(p.number, p.store_ref) for p in service.received_parts(session, row.id)]
    store.join_parts(row.storage_key, row.store_ref or "", names)
    store.drop_parts(row.storage_key, row.store_ref or "")
    done = ledger.api.post(f"/v1/uploads/{upload['id']}/complete")
    assert done.json()["sha256"] == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (lambda ledger, upload: ledger.api.post(f"/v1/uploads/{upload}/complete"), "complete"),
        (
            lambda ledger, upload: _expire(ledger, upload),
            "expired",
        ),
    ],
)
def test_parts_are_refused_after_the_end(
    ledger: Ledger, prepare: Callable[[Ledger, str], object], code: str
) -> None:
    upload = begin(ledger, b"abcde")
    url = upload["parts"][0]["upload_url"]
    ledger.api.put(url, content=b"abcde")
    prepare(ledger, upload["id"])
    answer = ledger.api.put(url, content=b"abcde")
    assert (answer.status_code, answer.json()["code"]) == (409, f"upload_{code}")


def _expire(ledger: Ledger, upload_id: str) -> None:
    with ledger.context.database.begin() as session:
        session.execute(
            update(Upload)
            .where(Upload.id == upload_id)
            .values(expires_at=utcnow() - timedelta(seconds=1))
        )


@pytest.mark.parametrize("path", ["/v1/uploads/upl_0", "/v1/uploads/upl_0/parts/1"])
def test_unknown_uploads_are_404(ledger: Ledger, path: str) -> None:
    answer = ledger.api.request("PUT" if "parts" in path else "GET", path, content=b"x")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_copies_are_found_by_hash_and_only_while_their_bytes_are_here(ledger: Ledger) -> None:
    first, second = (ledger.upload(DATA, filename=name) for name in ("a.pth", "b.pth"))
    begin(ledger, DATA, sha256=first["sha256"])
    asked = {"sha256": first["sha256"]}
    page = ledger.api.get("/v1/uploads", params=asked | {"limit": 1}).json()
    assert [one["id"] for one in page["items"]] == [second["id"]]
    token = {"page_token": page["next_page_token"]}
    rest = ledger.api.get("/v1/uploads", params=asked | token).json()
    assert [one["id"] for one in rest["items"]] == [first["id"]]
    with ledger.context.database.begin() as session:
        session.execute(update(Upload).values(status="purged"))
    assert ledger.api.get("/v1/uploads", params=asked).json()["items"] == []
    assert ledger.api.get("/v1/uploads").status_code == 422
    assert ledger.api.get("/v1/uploads?sha256=A").status_code == 422
