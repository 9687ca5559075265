"""Signatures, judged by the specification's own library."""

from __future__ import annotations

import base64
import json
import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.webhooks.signing import decode_secret, new_secret, sign

BODY = json.dumps({"type": "inspection.completed", "data": {"é": 1}}).encode()


def test_the_standard_library_accepts_our_signature() -> None:
    secret = new_secret()
    headers = sign(secret, "evt_1", int(time.time()), BODY)
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)


@pytest.mark.parametrize("spoil", ["body", "id", "secret", "time"])
def test_it_refuses_what_was_changed(spoil: str) -> None:
    secret = new_secret()
    age = 3600 if spoil == "time" else 0
    headers = sign(secret, "evt_1", int(time.time()) - age, BODY)
    if spoil == "id":
        headers["webhook-id"] = "evt_2"
    body = BODY + b" " if spoil == "body" else BODY
    judge = Webhook(new_secret() if spoil == "secret" else secret)
    with pytest.raises(WebhookVerificationError):
        judge.verify(body, headers)


def test_the_specification_s_own_vector() -> None:
    """From the reference implementation's tests (standard-webhooks, libraries/python)."""
    headers = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_!!!!", base64.b64encode(b"x" * 32).decode(), "whsec_" + "eA=="],
)
def test_bad_secrets_are_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        decode_secret(secret)
