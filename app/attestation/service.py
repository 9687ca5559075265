"""Sign what an inspection found, once, and keep it. Knows rows and the keyring, not HTTP.

The API signs, when an attestation is first asked for, and no worker ever does: a worker's machine
opens strangers' files, and a key that was read there would sign for ever. Signed is exactly the
report that the final transaction of the job stored, after it was held against the hash, the verdict
and the artifact that the same transaction wrote. All predicates of an inspection are signed
together and kept as they are; only after their key was revoked they are signed anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.attestation import dsse
from app.attestation.facts import Facts, Job
from app.attestation.keyring import Keyring, KeyringError
from app.attestation.published import KeyList
from app.attestation.statements import PREDICATES, Predicate, statement
from app.attestation.strictjson import encode
from app.db import clock
from app.db.base import utcnow
from app.db.session import Database
from app.errors import Conflict, SigningUnavailable
from app.inspections.policy import FailOn, Verdict, result_of
from app.models import Attestation, Inspection, Report
from app.reports import service as reports


def published(keyring: Keyring) -> KeyList:
    """The public keys; the first call ever makes the first one. Raises ``SigningUnavailable``."""
    try:
        return keyring.published(utcnow())
    except KeyringError as error:
        raise SigningUnavailable(str(error)) from error


def attestations(
    database: Database, keyring: Keyring, inspection_id: str
) -> dict[Predicate, Attestation]:
    """Every signed statement about an inspection, signed now where there is none yet.

    Raises:
        NotFound, Conflict: as :func:`app.reports.service.finished`; also ``report_altered``, for a
            stored report that is not what the inspection wrote.
        SigningUnavailable: the keys cannot be used.
    """
    try:
        with database.read() as session:
            reports.finished(session, inspection_id)
            if found := _kept(session, keyring, inspection_id):
                return found
        with database.begin() as session:
            # Locked, so that of two first requests one signs and the other finds it signed.
            row = session.get(Inspection, inspection_id, with_for_update=True)
            assert row is not None
            return _kept(session, keyring, inspection_id) or _sign(session, keyring, row)
    except KeyringError as error:
        raise SigningUnavailable(str(error)) from error


def facts_of(session: Session, inspection_id: str) -> Facts:
    """What may be said about an inspection. Raises as :func:`attestations`."""
    row = reports.finished(session, inspection_id)
    return _facts(row, reports.report_body(session, inspection_id))


def _kept(
    session: Session, keyring: Keyring, inspection_id: str
) -> dict[Predicate, Attestation] | None:
    """None where something is missing, or its key is revoked, not listed, or not of that time.

    The last is a rotation's doing: the command line's clock is not the database's.
    """
    query = select(Attestation).where(Attestation.inspection_id == inspection_id)
    rows = {row.predicate: row for row in session.scalars(query)}
    if not rows.keys() >= set(PREDICATES):
        return None
    keys = keyring.published(clock.now(session))
    for row in rows.values():
        key = keys.find(row.keyid)
        if key is None or key.revoked_at is not None or not key.covers(row.issued_at):
            return None
    return {name: rows[name] for name in PREDICATES}


def _sign(session: Session, keyring: Keyring, row: Inspection) -> dict[Predicate, Attestation]:
    now = clock.now(session)
    key = keyring.active(now)
    issued_at = max(now, key.not_before)
    facts = _facts(row, session.get_one(Report, row.id))
    signed: dict[Predicate, Attestation] = {}
    for name in PREDICATES:
        payload = encode(statement(facts, name, issued_at))
        body = dsse.sealed(payload, key.keyid, key.sign).to_bytes()
        signed[name] = session.merge(
            Attestation(
                inspection_id=row.id,
                predicate=name,
                keyid=key.keyid,
                body=body.decode(),
                sha256=hashlib.sha256(body).hexdigest(),
                issued_at=issued_at,
            )
        )
    session.flush()
    return signed


def _facts(row: Inspection, report: Report) -> Facts:
    assert row.finished_at is not None
    here = f"{row.base_url}/v1/inspections/{row.id}"
    job = Job(
        inspection_id=row.id,
        artifact_sha256=row.artifact_sha256,
        requested_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        fail_on=row.fail_on,
        result=str(row.result),
        url=here if row.base_url else None,
    )
    try:
        facts = Facts.of(job, report.body.encode())
    except ValueError:
        raise _altered("it is no JSON object") from None
    if facts.report_sha256 != report.sha256:
        raise _altered("its sha256 is another one")
    if facts.verdict != row.verdict:
        raise _altered("its verdict is another one")
    if row.result != result_of(cast(Verdict, row.verdict), cast(FailOn, row.fail_on)):
        raise _altered("the policy makes something else of it")
    if facts.part("artifact").get("sha256") not in (None, row.artifact_sha256):
        raise _altered("it is about another file")
    return facts


def _altered(why: str) -> Conflict:
    return Conflict(
        f"the stored report is not the one that the inspection wrote ({why}), so it is not signed; "
        "have the file inspected again",
        code="report_altered",
    )


def bundle(signed: Sequence[Attestation]) -> bytes:
    """Several envelopes, one a line (in-toto, spec/v1/bundle.md)."""
    return "".join(f"{one.body}\n" for one in signed).encode()
