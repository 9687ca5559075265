"""Versions of policies; a version never changes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import DEFAULT_TENANT, Base, utcnow


class PolicyVersion(Base):
    """One version of a named policy; versions count from 1."""

    __tablename__ = "policies"
    __table_args__ = (UniqueConstraint("tenant", "name", "version"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), default=DEFAULT_TENANT)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    document: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the document in canonical JSON."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
