"""The demo's receiver believes only good, recent signatures."""

from __future__ import annotations

import json
import time

import httpx2

from app.client.receiver import WebhookReceiver, verify
from app.webhooks.signing import new_secret, sign

BODY = json.dumps({"type": "inspection.completed", "data": {"inspection_id": "i1"}}).encode()


def test_a_good_signature_is_kept_and_a_bad_one_refused() -> None:
    with WebhookReceiver() as receiver:
        bad = sign(new_secret(), "evt_1", int(time.time()), BODY)
        assert httpx2.post(receiver.url, content=BODY, headers=bad).status_code == 401
        assert receiver.wait_for("i1", 0) is None
        good = sign(receiver.secret, "evt_1", int(time.time()), BODY)
        assert httpx2.post(receiver.url, content=BODY, headers=good).status_code == 204
        assert receiver.wait_for("i1", 5) == json.loads(BODY)
    assert receiver.refused == 1


def test_old_and_broken_headers_are_refused() -> None:
    secret = new_secret()
    assert verify(secret, sign(secret, "e", int(time.time()), BODY), BODY)
    assert not verify(secret, sign(secret, "e", int(time.time()) - 600, BODY), BODY)
    assert not verify(secret, {}, BODY)
    assert not verify(secret, {"webhook-timestamp": "soon"}, BODY)
    headers = sign(secret, "e", int(time.time()), BODY)
    rotated = headers | {"webhook-signature": "v1,AAAA " + headers["webhook-signature"]}
    assert verify(secret, rotated, BODY)
