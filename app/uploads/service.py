"""The life of an upload: begin, take parts, complete, look up.

Works the same on every store: a part is spooled to a local file while it is hashed and counted,
then handed to the store. The sha256 of the whole is always computed here: with one part it is that
part's, with several the joined object is read back once. Each step can be repeated after a crash.
Knows no HTTP. Shape of the answers: HiddenLayer's parts with offsets and URLs, for any store.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.db.base import DEFAULT_TENANT, utcnow
from app.db.ids import new_id
from app.db.session import Database
from app.errors import Conflict, NotFound, TooLarge, Unprocessable
from app.models import Upload, UploadPart
from app.settings import Settings
from app.storage import Store, StoreMissing

_MAX_PARTS = 10_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What the caller declares: a name for people, a size that is enforced, perhaps a hash."""

    filename: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class PartRange:
    """Bytes ``[start, end)`` of the whole belong to part ``number`` (from 1)."""

    number: int
    start: int
    end: int


def part_ranges(size: int, part_bytes: int) -> list[PartRange]:
    """How ``size`` bytes are cut; at least one part."""
    starts = range(0, size, part_bytes)
    return [
        PartRange(index + 1, start, min(start + part_bytes, size))
        for index, start in enumerate(starts)
    ]


def begin(session: Session, store: Store, settings: Settings, new: NewUpload) -> Upload:
    """Raises ``TooLarge`` above the configured limit."""
    if new.size > settings.max_upload_bytes:
        raise TooLarge(
            f"{new.size} bytes declared, at most {int(settings.max_upload_bytes)} are accepted",
            extra={"limit_bytes": int(settings.max_upload_bytes)},
        )
    part_bytes = max(int(settings.part_bytes), store.min_part_bytes, -(-new.size // _MAX_PARTS))
    identifier = new_id("upl")
    key = f"tenants/{DEFAULT_TENANT}/uploads/{identifier}"
    upload = Upload(
        id=identifier,
        filename=new.filename,
        size=new.size,
        declared_sha256=new.sha256,
        part_bytes=part_bytes,
        storage_key=key,
        store_ref=store.begin_parts(key),
        expires_at=utcnow() + timedelta(seconds=settings.upload_ttl_s),
    )
    session.add(upload)
    session.flush()
    return upload


def get(session: Session, upload_id: str) -> Upload:
    """Raises ``NotFound``."""
    upload = session.get(Upload, upload_id)
    if upload is None:
        raise NotFound(f"no upload {upload_id[:60]!r}")
    return upload


def received_parts(session: Session, upload_id: str) -> list[UploadPart]:
    query = select(UploadPart).where(UploadPart.upload_id == upload_id).order_by(UploadPart.number)
    return list(session.scalars(query))


def expected_part(upload: Upload, number: int) -> PartRange:
    """Raises ``Conflict`` (not open, expired) or ``NotFound`` (no such part)."""
    if upload.status != "open":
        raise Conflict("the upload is already complete", code="upload_complete")
    if upload.expires_at < utcnow():
        raise Conflict("the upload has expired; begin a new one", code="upload_expired")
    ranges = part_ranges(upload.size, upload.part_bytes)
    if not 1 <= number <= len(ranges):
        raise NotFound(f"part {number} does not exist; there are {len(ranges)}")
    return ranges[number - 1]


@dataclass(frozen=True, slots=True)
class SpooledPart:
    """One part as it arrived, whole: a local file, its length and its hash."""

    number: int
    path: Path
    size: int
    sha256: str


def keep_part(database: Database, store: Store, upload: Upload, part: SpooledPart) -> None:
    """Hand a spooled part to the store and note it; replaces an earlier one of that number."""
    try:
        ref = store.put_part(upload.storage_key, upload.store_ref or "", part.number, part.path)
    except StoreMissing:
        raise Conflict("the upload is already complete", code="upload_complete") from None
    with database.begin() as session:
        session.merge(
            UploadPart(
                upload_id=upload.id,
                number=part.number,
                size=part.size,
                sha256=part.sha256,
                store_ref=ref,
            )
        )


def complete(database: Database, store: Store, upload_id: str) -> Upload:
    """Join the parts, hash the whole, compare with what was declared.

    Raises:
        Conflict: parts are missing (``parts`` lists them), or the upload has expired.
        Unprocessable: the bytes hash to something else than declared. Nothing is kept; the parts
            can be sent again.
    """
    with database.read() as session:
        upload = get(session, upload_id)
        parts = received_parts(session, upload_id)
    if upload.status == "stored":
        return upload
    expected_part(upload, 1)
    _require_all_parts(upload, parts)
    try:
        sha256 = _join(store, upload, parts)
    except StoreMissing:
        # Another request may have completed it in between; then its answer is ours too.
        with database.read() as session:
            upload = get(session, upload_id)
        if upload.status == "stored":
            return upload
        raise Conflict("the parts are gone; begin a new upload", code="parts_lost") from None
    if upload.declared_sha256 not in (None, sha256):
        _reopen(database, store, upload)
        raise Unprocessable(
            "the received bytes do not have the declared sha256; send the parts again",
            code="sha256_mismatch",
            extra={"declared_sha256": upload.declared_sha256, "received_sha256": sha256},
        )
    with database.begin() as session:
        session.execute(
            update(Upload)
            .where(Upload.id == upload_id, Upload.status == "open")
            .values(status="stored", sha256=sha256, completed_at=utcnow())
        )
    store.drop_parts(upload.storage_key, upload.store_ref or "")
    with database.read() as session:
        return get(session, upload_id)


def find_stored(session: Session, *, upload_id: str | None, sha256: str | None) -> Upload:
    """The artifact that an inspection asks for, by upload or by the hash of earlier bytes.

    Raises:
        NotFound: there is none.
        Conflict: the upload is not complete.
    """
    if upload_id is not None:
        upload = get(session, upload_id)
        if upload.status != "stored":
            raise Conflict("the upload is not complete", code="upload_incomplete")
        return upload
    query = (
        select(Upload)
        .where(Upload.tenant == DEFAULT_TENANT, Upload.sha256 == sha256, Upload.status == "stored")
        .order_by(Upload.id.desc())
        .limit(1)
    )
    found = session.scalar(query)
    if found is None:
        raise NotFound("no stored upload has this sha256; upload the bytes first")
    return found


def _require_all_parts(upload: Upload, parts: list[UploadPart]) -> None:
    here = {part.number for part in parts}
    ranges = part_ranges(upload.size, upload.part_bytes)
    missing = [part.number for part in ranges if part.number not in here]
    if missing:
        raise Conflict(
            f"{len(missing)} of {len(ranges)} parts are missing",
            code="parts_missing",
            extra={"parts": missing[:1000]},
        )


def _join(store: Store, upload: Upload, parts: list[UploadPart]) -> str:
    listed = [(part.number, part.store_ref) for part in parts]
    try:
        store.join_parts(upload.storage_key, upload.store_ref or "", listed)
    except StoreMissing:
        # A crash after the join but before the row changed: the object is already whole.
        if store.size(upload.storage_key) != upload.size:
            raise
    if len(parts) == 1:
        return parts[0].sha256
    digest = hashlib.sha256()
    stream = store.open(upload.storage_key)
    try:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    finally:
        stream.close()
    return digest.hexdigest()


def _reopen(database: Database, store: Store, upload: Upload) -> None:
    store.delete(upload.storage_key)
    store.drop_parts(upload.storage_key, upload.store_ref or "")
    ref = store.begin_parts(upload.storage_key)
    with database.begin() as session:
        session.execute(delete(UploadPart).where(UploadPart.upload_id == upload.id))
        session.execute(
            update(Upload)
            .where(Upload.id == upload.id, Upload.status == "open")
            .values(store_ref=ref)
        )
