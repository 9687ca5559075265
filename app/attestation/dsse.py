"""DSSE 1.0 envelopes: what is signed, how it is written, and reading one from a stranger.

Signed is ``PAE(payloadType, payload)`` (https://github.com/secure-systems-lab/dsse, protocol.md and
envelope.md), so nothing is parsed before its signature is known, and no canonical form matters.
Knows no key and no statement. Tests read and verify what comes out with securesystemslib.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from app.attestation.strictjson import Json, NotStrict, encode, objects, optional_text, text
from app.attestation.strictjson import parse_object as _parse_object

IN_TOTO = "application/vnd.in-toto+json"
"""Payload type of a statement in JSON (in-toto, spec/v1/envelope.md)."""
MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"
"""Of the JSON envelope, as cosign and what reads its registries call it."""
MAX_BYTES = 1 << 20
"""Of one envelope; ours have about 5 KB."""
_MAX_SIGNATURES = 16


@dataclass(frozen=True, slots=True)
class Signature:
    """``keyid`` is nobody's word: it only says which key to try. None or empty: try all."""

    keyid: str | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its type and who signed both."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def signed_bytes(self) -> bytes:
        """What every signature is over."""
        return pae(self.payload_type, self.payload)

    def to_bytes(self) -> bytes:
        """The JSON envelope, in standard base64."""
        signatures = [
            {"keyid": one.keyid or "", "sig": base64.b64encode(one.value).decode()}
            for one in self.signatures
        ]
        document: Json = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": signatures,
        }
        return encode(document)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding, version 1."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sealed(payload: bytes, keyid: str, sign: Callable[[bytes], bytes]) -> Envelope:
    """An envelope around a statement, with one signature."""
    signature = Signature(keyid, sign(pae(IN_TOTO, payload)))
    return Envelope(IN_TOTO, payload, (signature,))


def parse(data: bytes) -> Envelope:
    """Read a JSON envelope.

    Raises:
        NotStrict: it is none, or is longer than ``MAX_BYTES``.
    """
    if len(data) > MAX_BYTES:
        raise NotStrict(f"longer than {MAX_BYTES} bytes")
    document = _parse_object(data)
    signatures = objects(document, "signatures")
    if not 1 <= len(signatures) <= _MAX_SIGNATURES:
        raise NotStrict(f"signatures must be 1 to {_MAX_SIGNATURES}")
    payload_type = text(document, "payloadType")
    if not payload_type.isascii():
        raise NotStrict("payloadType must be ASCII")
    return Envelope(
        payload_type,
        decoded(text(document, "payload"), "payload"),
        tuple(
            Signature(optional_text(one, "keyid") or None, decoded(text(one, "sig"), "sig"))
            for one in signatures
        ),
    )


def decoded(value: str, name: str) -> bytes:
    """Bytes of base64, standard or URL-safe, in the one spelling that it has.

    Python's decoder overlooks the unused bits of the last character, so that several texts would
    be one signature.

    Raises:
        NotStrict: it is none.
    """
    for alphabet in (b"+/", b"-_"):
        try:
            data = base64.b64decode(value, alphabet, validate=True)
        except (binascii.Error, ValueError):
            continue
        if base64.b64encode(data, alphabet).decode() == value:
            return data
    raise NotStrict(f"{name} is no base64")
