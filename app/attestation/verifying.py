"""Is this attestation genuine, is it about this file, and may it still be relied on?

Offline and pure: bytes, a list of keys and a clock in, what was signed out. The order is DSSE's:
first the signature, then the payload. Every refusal names what is wrong and what to do next. Knows
no network, no database and no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.attestation import dsse
from app.attestation.dsse import Envelope
from app.attestation.published import KeyList, PublicKey, written
from app.attestation.reading import Signed, UnknownPredicate, read_statement
from app.attestation.standing import accusation, relied_on
from app.attestation.strictjson import NotStrict

_CLOCKS_DIFFER = timedelta(minutes=5)
_ORDER = "the order is: clipvet verify ATTESTATION ARTIFACT"
_FETCH_AGAIN = "Download the attestation again from the service that inspected the file."
_INSPECT_AGAIN = "Have the file inspected again, and take the attestation of that inspection."
_OF_OTHERS = ("unknown_predicate", "unknown_key", "malformed")
"""What may be no fault of the bundle's, so that any other reason tells more."""
_MAX_LINES = 64


class Refused(Exception):
    """The attestation proves nothing here. ``code`` is stable, ``remedy`` says what to do next."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the attestation is held against; None where it need not be."""

    artifact_sha256: str
    now: datetime
    max_age: timedelta | None = None
    report_sha256: str | None = None
    suits: Callable[[Signed], bool] | None = None
    """Of several verdicts that accuse nobody, one that a policy passes is taken."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was signed, by which key, and how many lines of a bundle were none of ours.

    ``others`` are genuine verdicts about the same file that do not count beside this one.
    """

    signed: Signed
    key: PublicKey
    ignored: int = 0
    others: tuple[Signed, ...] = ()


def verify(data: bytes, keys: KeyList, wanted: Wanted) -> Verified:
    """One envelope, or a bundle of them with one a line.

    A bundle as a whole is signed by nobody, so lines that are not good, or about something else,
    prove nothing and are left out (in-toto, spec/v1/bundle.md). Of several verdicts the one counts
    that :mod:`app.attestation.standing` names: an accusation, however old it is and whichever
    report is asked for, until a stronger inspection takes it back.

    Raises:
        Refused: in every other case.
    """
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) < 2 or not any(map(_is_envelope, lines[:_MAX_LINES])):
        return verify_envelope(data, keys, wanted)
    if len(lines) > _MAX_LINES:
        raise _malformed(f"more than {_MAX_LINES} lines")
    return _of_bundle(lines, keys, wanted)


def verify_envelope(data: bytes, keys: KeyList, wanted: Wanted) -> Verified:
    """One envelope. Raises ``Refused``."""
    verified = _genuine(data, keys, wanted)
    _check_relied_on(verified.signed, wanted)
    return verified


def _genuine(data: bytes, keys: KeyList, wanted: Wanted) -> Verified:
    """Well signed and about this file."""
    try:
        envelope = dsse.parse(data)
    except NotStrict as error:
        raise _malformed(str(error)) from None
    key = _signer(envelope, keys)
    if envelope.payload_type != dsse.IN_TOTO:
        raise _unknown(f"its payload is {envelope.payload_type[:120]!r}")
    try:
        signed = read_statement(envelope.payload)
    except UnknownPredicate as error:
        raise _unknown(str(error)) from None
    except NotStrict as error:
        raise _malformed(f"the signed statement: {error}") from None
    _check_time(signed, key, wanted.now)
    _check_subject(signed, wanted)
    return Verified(signed, key)


def _of_bundle(lines: list[bytes], keys: KeyList, wanted: Wanted) -> Verified:
    good: list[Verified] = []
    reasons: list[Refused] = []
    for line in lines:
        try:
            good.append(_genuine(line, keys, wanted))
        except Refused as reason:
            reasons.append(reason)
    verdicts = [one.signed for one in good if one.signed.verdict is not None]
    counts = accusation(verdicts) or _relied_on(verdicts, wanted, reasons)
    if counts is None:
        told = sorted(reasons, key=lambda reason: reason.code in _OF_OTHERS)
        raise told[0] if told else _unknown("the bundle holds no verdict")
    key = next(one.key for one in good if one.signed is counts)
    others = [one for one in verdicts if one.inspection_id != counts.inspection_id]
    return Verified(counts, key, len(lines) - len(good), tuple(others))


def _relied_on(verdicts: list[Signed], wanted: Wanted, reasons: list[Refused]) -> Signed | None:
    """The verdict that counts where nothing is accused; why others do not leads the reasons."""
    left: list[Signed] = []
    for one in verdicts:
        try:
            _check_relied_on(one, wanted)
        except Refused as reason:
            reasons.insert(0, reason)
        else:
            left.append(one)
    return relied_on(left, wanted.suits)


def _is_envelope(line: bytes) -> bool:
    try:
        dsse.parse(line)
    except NotStrict:
        return False
    return True


def _signer(envelope: Envelope, keys: KeyList) -> PublicKey:
    """The key of a good signature that still counts."""
    tried, revoked = False, None
    for signature in envelope.signatures:
        for key in _candidates(signature.keyid, keys):
            tried = True
            if key.fits(signature.value, envelope.signed_bytes):
                if key.revoked_at is None:
                    return key
                revoked = key
    if revoked is not None:
        raise _revoked(revoked)
    if tried:
        raise Refused(
            "bad_signature",
            "the signature does not fit: the attestation was edited after it was signed, or was "
            "never signed by this key",
            f"Do not rely on it. {_FETCH_AGAIN}",
        )
    named = ", ".join(one.keyid or "no key id" for one in envelope.signatures)
    raise Refused(
        "unknown_key",
        f"signed by a key that is not in the list of keys ({named[:200]})",
        "Get the current list of the service that you trust, from /v1/signing_keys or by clipvet "
        "keys export; if the key is not there either, do not rely on the attestation.",
    )


def _candidates(keyid: str | None, keys: KeyList) -> tuple[PublicKey, ...]:
    if keyid is None:
        return keys.keys
    found = keys.find(keyid)
    return () if found is None else (found,)


def _revoked(key: PublicKey) -> Refused:
    assert key.revoked_at is not None
    why = f": {key.revocation_reason}" if key.revocation_reason else ""
    return Refused(
        "revoked_key",
        f"the signing key {key.keyid} was revoked on {written(key.revoked_at)}{why}",
        "Nothing that it signed counts any more. Download the attestation again: the service signs "
        "it with its current key.",
    )


def _check_time(signed: Signed, key: PublicKey, now: datetime) -> None:
    issued = written(signed.issued_at)
    if not key.covers(signed.issued_at):
        until = f" to {written(key.not_after)}" if key.not_after else ""
        raise Refused(
            "key_not_valid_then",
            f"signed on {issued}, but the key counts from {written(key.not_before)}{until}",
            f"Do not rely on it. {_FETCH_AGAIN}",
        )
    if signed.issued_at > now + _CLOCKS_DIFFER:
        raise Refused(
            "signed_in_the_future",
            f"signed on {issued}, and it is {written(now)} here",
            "Set this machine's clock right, or ask the service's operator for its clock.",
        )
    if signed.finished_at > signed.issued_at + _CLOCKS_DIFFER:
        raise _malformed("it was signed before the inspection had finished")


def _check_subject(signed: Signed, wanted: Wanted) -> None:
    if wanted.artifact_sha256 not in signed.digests:
        about = "; ".join(f"{name or 'a file'} {digest}" for name, digest in signed.subjects)
        raise Refused(
            "other_file",
            f"it is about another file: {about[:400]}, and this one is {wanted.artifact_sha256}",
            f"Do not deploy this file on that verdict. {_INSPECT_AGAIN}",
        )


def _check_relied_on(signed: Signed, wanted: Wanted) -> None:
    if wanted.report_sha256 not in (None, signed.report_sha256):
        raise Refused(
            "other_report",
            f"the report has the sha256 {wanted.report_sha256}, and not the signed one, "
            f"{signed.report_sha256}",
            f"Download /v1/inspections/{signed.inspection_id}/report.json again, byte for byte.",
        )
    age = wanted.now - signed.finished_at
    if wanted.max_age is not None and age > wanted.max_age:
        raise Refused(
            "stale",
            f"the inspection finished on {written(signed.finished_at)}, {_days(age)} ago; at most "
            f"{_days(wanted.max_age)} are allowed",
            _INSPECT_AGAIN,
        )


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.4g} days"


def _malformed(why: str) -> Refused:
    return Refused(
        "malformed", f"this is no attestation: {why}", f"{_FETCH_AGAIN} Mind that {_ORDER}."
    )


def _unknown(why: str) -> Refused:
    return Refused(
        "unknown_predicate",
        f"it is well signed, but says something else than a verdict that we know: {why}",
        "Give the attestation of an inspection, or use a newer clipvet.",
    )
