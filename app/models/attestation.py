"""What was signed about an inspection."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base


class Attestation(Base):
    """One envelope as it is downloaded, byte for byte; signed once, until its key is revoked."""

    __tablename__ = "attestations"

    inspection_id: Mapped[str] = mapped_column(
        ForeignKey("inspections.id", ondelete="CASCADE"), primary_key=True
    )
    predicate: Mapped[str] = mapped_column(String(32), primary_key=True)
    keyid: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    issued_at: Mapped[datetime]
