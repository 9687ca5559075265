"""The upload flow on an S3 store: the same answers, hashed by the server."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import pytest

from app.settings import Settings
from app.storage import S3Store
from tests.support.ledger import Ledger


@pytest.fixture
def ledger(settings_on_s3: Settings) -> Iterator[Ledger]:
    made = Ledger(settings_on_s3.model_copy(update={"part_bytes": 1024}))
    yield made
    made.close()


@pytest.mark.parametrize(("size", "parts"), [(3000, 1), (11 * 1024 * 1024, 3)])
def test_bytes_come_back_whole(ledger: Ledger, size: int, parts: int) -> None:
    data = os.urandom(size)
    begun = ledger.api.post("/v1/uploads", json={"filename": "m", "size": size}).json()
    assert len(begun["parts"]) == parts
    done = ledger.upload(data, sha256=hashlib.sha256(data).hexdigest())
    assert done["sha256"] == hashlib.sha256(data).hexdigest()
    assert ledger.stored_bytes(done["id"]) == data


def test_other_bytes_than_declared_can_be_sent_again(ledger: Ledger) -> None:
    data = b"right"
    body = {"filename": "m", "size": 5, "sha256": hashlib.sha256(data).hexdigest()}
    upload = ledger.api.post("/v1/uploads", json=body).json()
    url = upload["parts"][0]["upload_url"]
    ledger.api.put(url, content=b"wrong")
    refused = ledger.api.post(f"/v1/uploads/{upload['id']}/complete")
    assert (refused.status_code, refused.json()["code"]) == (422, "sha256_mismatch")
    assert ledger.api.put(url, content=data).status_code == 200
    assert ledger.api.post(f"/v1/uploads/{upload['id']}/complete").status_code == 200


def test_a_store_that_is_away_is_503_and_nothing_is_lost(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = ledger.api.post("/v1/uploads", json={"filename": "m", "size": 5}).json()
    url = upload["parts"][0]["upload_url"]
    away = ledger.settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    store = ledger.context.store
    with monkeypatch.context() as patch:
        for client in ("_client", "_checker"):
            patch.setattr(store, client, getattr(S3Store.from_settings(away), client))
        answer = ledger.api.put(url, content=b"right")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert ledger.api.get("/readyz").status_code == 503
    assert ledger.api.put(url, content=b"right").status_code == 200
