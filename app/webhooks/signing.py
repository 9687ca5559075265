"""Standard Webhooks 1.0, symmetric scheme: ``whsec_`` secrets and ``v1`` signatures.

Signed content is ``{id}.{timestamp}.{body}``, HMAC-SHA256 under the decoded secret, in base64
(https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md). Tests verify
with the specification's own library. Knows neither rows nor HTTP.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

_PREFIX = "whsec_"
_4 = "[A-Za-z0-9+/]{4}"
SECRET = f"^{_PREFIX}({_4}){{8,20}}({_4}|({_4})?[A-Za-z0-9+/]{{2}}==|[A-Za-z0-9+/]{{3}}=)?$"
"""What :func:`decode_secret` takes, as a regular expression for the API's document."""


def new_secret() -> str:
    """A fresh secret of 32 random bytes (the specification asks for 24 to 64)."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def decode_secret(secret: str) -> bytes:
    """Raises ``ValueError`` unless it is ``whsec_`` and base64 of 24 to 64 bytes."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret is whsec_ followed by base64") from error
    if not secret.startswith(_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("a webhook secret is whsec_ followed by base64 of 24 to 64 bytes")
    return key


def sign(secret: str, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt; ``timestamp_s`` is Unix time of the attempt."""
    content = f"{message_id}.{timestamp_s}.".encode() + body
    digest = hmac.new(decode_secret(secret), content, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
