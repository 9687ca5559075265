"""From parts to one object under its hash.

``joining`` freezes the rows of the parts, so every request that completes an upload joins the same
ones, however many do at a time and after whatever crash. The hash is of the bytes that lie there,
read back from a key under which no other bytes can come to lie; key and hash are written together.
Where the store has other parts than the rows say, the upload opens again and the caller is told
which to send. Knows no HTTP.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NoReturn

from sqlalchemy.orm import Session

from app.db import clock
from app.db.session import Database
from app.errors import Conflict, NotFound, Unprocessable
from app.models import Upload, UploadPart
from app.storage import PartsChanged, Store, StoreMissing
from app.uploads.service import (
    locked,
    part_ranges,
    received_parts,
    require_time,
    start_over,
    tidying,
)

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Round:
    """What one ``complete`` set out to join; it counts only while the row still says so."""

    upload_id: str
    size: int
    declared_sha256: str | None
    key: str
    ref: str
    parts: tuple[tuple[int, str], ...]


def complete(database: Database, store: Store, upload_id: str) -> Upload:
    """Join the parts, hash the whole, compare with what was declared.

    Raises:
        NotFound: there is no such upload.
        Conflict: parts are missing (``parts`` lists them), the upload has expired, or it was opened
            again by another request. It stays usable.
        Unprocessable: the bytes hash to something else than declared. Nothing is kept; the parts
            can be sent again.
    """
    begun = _begin(database, upload_id)
    if isinstance(begun, Upload):
        return begun
    try:
        key = store.join_parts(begun.key, begun.ref, begun.parts)
        sha256 = _hash(store, key, begun.size)
    except PartsChanged as changed:
        return _ask_again(database, begun, changed.numbers)
    except StoreMissing:
        return _ask_again(database, begun, None)
    upload = _decide(database, begun, key, sha256)
    with tidying("the parts of a complete upload"):
        store.drop_parts(begun.key, begun.ref)
    if upload.status == "stored":
        return upload
    with tidying("an object that is not what was declared"):
        store.delete(key)
    raise Unprocessable(
        "the received bytes do not have the declared sha256; send the parts again",
        code="sha256_mismatch",
        extra={"declared_sha256": begun.declared_sha256, "received_sha256": sha256},
    )


def _begin(database: Database, upload_id: str) -> Upload | _Round:
    """The upload if it is complete, else the round that it is in from now on."""
    with database.begin() as session:
        upload = locked(session, upload_id)
        if upload.status == "stored":
            return upload
        if upload.status == "purged":
            raise Conflict("the bytes are no longer kept; upload them again", code="upload_purged")
        require_time(session, upload)
        parts = received_parts(session, upload_id)
        _require_all(upload, parts)
        upload.status = "joining"
        return _Round(
            upload_id,
            upload.size,
            upload.declared_sha256,
            upload.storage_key,
            upload.store_ref or "",
            _names(parts),
        )


def _require_all(upload: Upload, parts: list[UploadPart]) -> None:
    here = {part.number for part in parts}
    ranges = part_ranges(upload.size, upload.part_bytes)
    missing = [part.number for part in ranges if part.number not in here]
    if missing:
        raise _missing(missing, len(ranges))


def _missing(numbers: list[int], of: int) -> Conflict:
    return Conflict(
        f"{len(numbers)} of {of} parts are missing",
        code="parts_missing",
        extra={"parts": numbers[:1000]},
    )


def _names(parts: list[UploadPart]) -> tuple[tuple[int, str], ...]:
    return tuple((part.number, part.store_ref) for part in parts)


def _hash(store: Store, key: str, size: int) -> str:
    """Raises ``StoreMissing`` where the object is not as long as the upload."""
    digest, seen = hashlib.sha256(), 0
    with store.open(key) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            seen += len(chunk)
    if seen != size:
        raise StoreMissing(key)
    return digest.hexdigest()


def _decide(database: Database, begun: _Round, key: str, sha256: str) -> Upload:
    """Stored, or open again without parts where something else was declared."""
    with database.begin() as session:
        upload = _still(session, begun)
        if upload.status == "stored":
            return upload
        if begun.declared_sha256 not in (None, sha256):
            start_over(session, upload)
            return upload
        upload.status = "stored"
        upload.sha256 = sha256
        upload.storage_key = key
        upload.completed_at = clock.now(session)
        return upload


def _ask_again(database: Database, begun: _Round, numbers: list[int] | None) -> Upload:
    """Open again without these parts (None: without any), unless another request has completed it.

    Raises:
        Conflict: parts are missing now.
    """
    with database.begin() as session:
        upload = _still(session, begun)
        if upload.status == "stored":
            return upload
        if numbers is None:
            start_over(session, upload)
        else:
            for number in numbers:
                session.delete(session.get_one(UploadPart, (upload.id, number)))
            upload.status = "open"
    lost = numbers or [number for number, _ in begun.parts]
    raise _missing(lost, len(begun.parts))


def _still(session: Session, begun: _Round) -> Upload:
    """The locked row, stored by another request or still in this round.

    Raises:
        Conflict: it is neither; the round has ended in another way.
    """
    try:
        upload = locked(session, begun.upload_id)
    except NotFound:
        _overtaken("the upload has expired", "upload_expired")
    if upload.status == "stored":
        return upload
    same = (upload.status, upload.storage_key, upload.store_ref) == (
        "joining",
        begun.key,
        begun.ref,
    )
    if not same or _names(received_parts(session, begun.upload_id)) != begun.parts:
        _overtaken("another request has opened the upload again", "upload_changed")
    return upload


def _overtaken(why: str, code: str) -> NoReturn:
    raise Conflict(f"{why} meanwhile; look at it, then go on", code=code)
