"""The life of an upload until it is complete: begin, take parts, look up.

    open ⇄ joining → stored → purged

Works the same on every store: a part is spooled to a local file while it is hashed and counted,
then handed to the store, then noted while the upload's row is locked and open; from ``joining`` on
(``completing``) no part is noted. No transaction is open while the store works, and each step can
be repeated after a crash. Knows no HTTP. Shape of the answers: HiddenLayer's parts with offsets
and URLs, for any store.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app import keys
from app.db import clock
from app.db.base import DEFAULT_TENANT
from app.db.ids import new_id
from app.db.session import Database
from app.errors import Conflict, NotFound, StoreUnavailable, TooLarge
from app.models import Upload, UploadPart
from app.settings import Settings
from app.storage import Store, StoreMissing

logger = logging.getLogger("clipvet.uploads")

_MAX_PARTS = 10_000


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
    now = clock.now(session)
    upload = Upload(
        id=identifier,
        filename=new.filename,
        size=new.size,
        declared_sha256=new.sha256,
        part_bytes=part_bytes,
        storage_key=keys.of_upload(DEFAULT_TENANT, identifier),
        created_at=now,
        expires_at=now + timedelta(seconds=settings.upload_ttl_s),
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
    """The parts that are here, by number."""
    query = select(UploadPart).where(UploadPart.upload_id == upload_id).order_by(UploadPart.number)
    return list(session.scalars(query))


def locked(session: Session, upload_id: str) -> Upload:
    """The upload, which nobody else changes until the transaction ends. Raises ``NotFound``."""
    upload = session.get(Upload, upload_id, with_for_update=True)
    if upload is None:
        raise NotFound(f"no upload {upload_id[:60]!r}")
    return upload


def require_open(session: Session, upload: Upload) -> None:
    """Raises ``Conflict``: the upload is complete, being completed, or has expired."""
    if upload.status == "joining":
        raise Conflict(
            "the upload is being completed; complete it again to see how that ends",
            code="upload_completing",
        )
    if upload.status != "open":
        raise Conflict("the upload is already complete", code="upload_complete")
    require_time(session, upload)


def require_time(session: Session, upload: Upload) -> None:
    """Raises ``Conflict`` where the time to send parts is over."""
    if upload.expires_at < clock.now(session):
        raise Conflict("the upload has expired; begin a new one", code="upload_expired")


def expected_part(session: Session, upload: Upload, number: int) -> PartRange:
    """Raises ``Conflict`` (not open, expired) or ``NotFound`` (no such part)."""
    require_open(session, upload)
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


def keep_part(database: Database, store: Store, upload_id: str, part: SpooledPart) -> None:
    """Hand a spooled part to the store and note it; replaces an earlier one of that number.

    Raises:
        Conflict: the upload is not open any more, or the store has lost all of its parts.
        NotFound: it was purged meanwhile.
    """
    key, ref = _begun(database, store, upload_id)
    try:
        name = store.put_part(key, ref, part.number, part.path)
    except (StoreMissing, StoreUnavailable) as error:
        # Whatever the store says: where the upload has ended meanwhile, that is the reason.
        _require_same(database, upload_id, ref)
        if isinstance(error, StoreUnavailable):
            raise
        raise _parts_lost(database, upload_id, ref) from None
    try:
        replaced = _note(database, upload_id, ref, part, name)
    except (Conflict, NotFound):
        with tidying("a part that was refused"):
            store.forget_part(key, ref, part.number, name)
        raise
    if replaced is not None:
        with tidying("a part that was replaced"):
            store.forget_part(key, ref, part.number, replaced)


def start_over(session: Session, upload: Upload) -> None:
    """Open, without any part, under a key that no object ever had."""
    session.execute(delete(UploadPart).where(UploadPart.upload_id == upload.id))
    upload.status = "open"
    upload.store_ref = None
    upload.storage_key = keys.of_upload(upload.tenant, upload.id)


@contextmanager
def tidying(what: str) -> Iterator[None]:
    """For what the purger does later when it fails now."""
    try:
        yield
    except (StoreMissing, StoreUnavailable, OSError) as error:
        logger.info("%s stays for the purger: %s", what, type(error).__name__)


def _begun(database: Database, store: Store, upload_id: str) -> tuple[str, str]:
    """Key and ref of the upload at the store, which hears of it with the first part.

    Before that there is a row, so whoever finds the parts can tell whose they are.
    """
    with database.read() as session:
        upload = get(session, upload_id)
        require_open(session, upload)
    key, ref = upload.storage_key, upload.store_ref
    if ref is not None:
        return key, ref
    begun = store.begin_parts(key)
    kept = None
    try:
        with database.begin() as session:
            upload = locked(session, upload_id)
            require_open(session, upload)
            if upload.store_ref is None and upload.storage_key == key:
                upload.store_ref = begun
            kept = upload.store_ref
            if kept is None:
                raise _changed()
            return upload.storage_key, kept
    finally:
        if kept != begun:
            with tidying("an upload in parts that another request had begun"):
                store.drop_parts(key, begun)


def _note(database: Database, upload_id: str, ref: str, part: SpooledPart, name: str) -> str | None:
    """Write the row of a part; what the store called the one before it, if there was another."""
    with database.begin() as session:
        upload = locked(session, upload_id)
        require_open(session, upload)
        if upload.store_ref != ref:
            raise _changed()
        row = session.get(UploadPart, (upload_id, part.number))
        replaced = None
        if row is None:
            row = UploadPart(upload_id=upload_id, number=part.number)
            session.add(row)
        elif row.store_ref != name:
            replaced = row.store_ref
        row.size, row.sha256, row.store_ref = part.size, part.sha256, name
    return replaced


def _require_same(database: Database, upload_id: str, ref: str) -> None:
    with database.read() as session:
        upload = get(session, upload_id)
        require_open(session, upload)
    if upload.store_ref != ref:
        raise _changed()


def _parts_lost(database: Database, upload_id: str, ref: str) -> Conflict:
    """The store has forgotten the parts of an open upload: they can all be sent again."""
    with database.begin() as session:
        upload = locked(session, upload_id)
        if upload.status == "open" and upload.store_ref == ref:
            start_over(session, upload)
    return Conflict("the store has lost the parts; send all of them again", code="parts_lost")


def _changed() -> Conflict:
    return Conflict(
        "all parts are to be sent again since another request found them wrong",
        code="upload_changed",
    )


def find_stored(session: Session, *, upload_id: str | None, sha256: str | None) -> Upload:
    """The artifact that an inspection asks for, by upload or by the hash of earlier bytes.

    It stays stored until the caller's transaction ends.

    Raises:
        NotFound: there is none.
        Conflict: the upload is not complete, or its bytes were purged.
    """
    if upload_id is not None:
        upload = session.get(Upload, upload_id, with_for_update={"read": True})
        if upload is None:
            raise NotFound(f"no upload {upload_id[:60]!r}")
        if upload.status == "purged":
            raise Conflict("the bytes are no longer kept; upload them again", code="upload_purged")
        if upload.status != "stored":
            raise Conflict("the upload is not complete", code="upload_incomplete")
        return upload
    query = (
        select(Upload)
        .where(Upload.tenant == DEFAULT_TENANT, Upload.sha256 == sha256, Upload.status == "stored")
        .order_by(Upload.id.desc())
        .limit(1)
        .with_for_update(read=True)
    )
    found = session.scalar(query)
    if found is None:
        raise NotFound("no stored upload has this sha256; upload the bytes first")
    return found


def stored_copies(
    session: Session, sha256: str, *, before_id: str | None, limit: int
) -> list[Upload]:
    """Uploads whose bytes are here and have this hash, newest first."""
    query = (
        select(Upload)
        .where(Upload.tenant == DEFAULT_TENANT, Upload.sha256 == sha256, Upload.status == "stored")
        .order_by(Upload.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        query = query.where(Upload.id < before_id)
    return list(session.scalars(query))
