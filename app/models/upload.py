"""An upload and the parts received so far."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import DEFAULT_TENANT, Base, utcnow


class Upload(Base):
    """Bytes on their way in (``open``, ``joining``), held (``stored``), or held once (``purged``).

    From ``stored`` on sha256 and size are ours.
    """

    __tablename__ = "uploads"
    __table_args__ = (Index(None, "tenant", "sha256"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), default=DEFAULT_TENANT)
    filename: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
    """Declared at creation and enforced part by part."""
    declared_sha256: Mapped[str | None] = mapped_column(String(64))
    part_bytes: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(16), default="open")
    sha256: Mapped[str | None] = mapped_column(String(64))
    storage_key: Mapped[str] = mapped_column(String(255))
    store_ref: Mapped[str | None] = mapped_column(String(1024))
    """What the store calls this multipart upload; None before the first part."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]


class UploadPart(Base):
    """One part that arrived whole."""

    __tablename__ = "upload_parts"

    upload_id: Mapped[str] = mapped_column(
        ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    store_ref: Mapped[str] = mapped_column(String(255))
    """What the store calls these very bytes: an ETag on S3, a file of its own in a folder."""
