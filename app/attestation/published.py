"""The public keys of a service and when each counts: the file that ``clipvet verify`` trusts.

A key counts for what was signed between ``not_before`` and ``not_after`` (open while it is in use).
A revoked one counts for nothing, whatever the date: who stole it can write any date.
Knows no private key and no folder.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.attestation.dsse import decoded
from app.attestation.strictjson import Json, NotStrict, encode, objects, optional_text, text
from app.attestation.strictjson import parse_object as _parse_object

SCHEMA_VERSION = "1"
ALGORITHM = "ed25519"
MAX_BYTES = 1 << 20
_RAW_BYTES = 32
_MOMENT = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z$", re.ASCII)

Status = Literal["active", "retired", "revoked"]


def keyid_of(raw: bytes) -> str:
    """SHA-256 of the key as DER (SubjectPublicKeyInfo), as OpenSSL writes it.

    ``openssl pkey -pubin -in key.pem -outform DER | sha256sum`` gives the same.
    """
    key = Ed25519PublicKey.from_public_bytes(raw)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def moment(value: str) -> datetime:
    """RFC 3339 in UTC ("Z"), as in-toto writes timestamps. Raises ``NotStrict``."""
    try:
        if _MOMENT.match(value):
            return datetime.fromisoformat(value)
    except ValueError:
        pass
    raise NotStrict(f"{value[:40]!r} is no moment in UTC, such as 2026-11-29T12:00:00Z")


def written(when: datetime) -> str:
    """The inverse of :func:`moment`, to the second where there is no more."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _optional(when: datetime | None) -> str | None:
    return None if when is None else written(when)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key of the list; ``raw`` are the 32 bytes of RFC 8032."""

    raw: bytes
    not_before: datetime
    not_after: datetime | None = None
    revoked_at: datetime | None = None
    revocation_reason: str | None = None

    @property
    def keyid(self) -> str:
        """See :func:`keyid_of`."""
        return keyid_of(self.raw)

    def status_at(self, now: datetime) -> Status:
        """``active`` until it has an end that has passed."""
        if self.revoked_at is not None:
            return "revoked"
        return "retired" if self.not_after is not None and self.not_after <= now else "active"

    def covers(self, when: datetime) -> bool:
        """Whether what was signed then may have been signed with it."""
        return self.not_before <= when and (self.not_after is None or when <= self.not_after)

    def fits(self, signature: bytes, signed: bytes) -> bool:
        """Whether the signature is this key's over these bytes."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    def to_json(self) -> Json:
        """As it is published."""
        return {
            "keyid": self.keyid,
            "algorithm": ALGORITHM,
            "public_key": base64.b64encode(self.raw).decode(),
            "not_before": written(self.not_before),
            "not_after": _optional(self.not_after),
            "revoked_at": _optional(self.revoked_at),
            "revocation_reason": self.revocation_reason,
        }

    @classmethod
    def from_json(cls, data: Json) -> PublicKey:
        """Raises ``NotStrict``, also where ``keyid`` is another key's."""
        if text(data, "algorithm") != ALGORITHM:
            raise NotStrict(f"algorithm must be {ALGORITHM}")
        raw = decoded(text(data, "public_key"), "public_key")
        if len(raw) != _RAW_BYTES:
            raise NotStrict(f"public_key must be base64 of {_RAW_BYTES} bytes")
        key = cls(
            raw,
            moment(text(data, "not_before")),
            _moment_in(data, "not_after"),
            _moment_in(data, "revoked_at"),
            optional_text(data, "revocation_reason"),
        )
        if key.keyid != text(data, "keyid"):
            raise NotStrict("keyid is not the SHA-256 of public_key")
        return key


def _moment_in(data: Json, key: str) -> datetime | None:
    value = optional_text(data, key)
    return None if value is None else moment(value)


@dataclass(frozen=True, slots=True)
class KeyList:
    """All keys that a service ever had, the oldest first."""

    keys: tuple[PublicKey, ...] = ()

    def find(self, keyid: str) -> PublicKey | None:
        """By id; None where it is a stranger's."""
        return next((key for key in self.keys if key.keyid == keyid), None)

    def to_bytes(self) -> bytes:
        """The list as JSON, the same for the same keys."""
        listed = [key.to_json() for key in self.keys]
        return encode({"schema_version": SCHEMA_VERSION, "keys": listed})

    @classmethod
    def parse(cls, data: bytes) -> KeyList:
        """Raises ``NotStrict`` for what is no list of keys, or names one twice."""
        if len(data) > MAX_BYTES:
            raise NotStrict(f"longer than {MAX_BYTES} bytes")
        document = _parse_object(data)
        if document.get("schema_version") != SCHEMA_VERSION:
            raise NotStrict(f"schema_version must be {SCHEMA_VERSION!r}")
        keys = tuple(PublicKey.from_json(one) for one in objects(document, "keys"))
        if len({key.raw for key in keys}) != len(keys):
            raise NotStrict("a key stands twice in the list")
        return cls(keys)
