"""Which workers are alive."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base


class WorkerBeat(Base):
    """Refreshed by every housekeeping tick of a worker."""

    __tablename__ = "worker_beats"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    inspection_id: Mapped[str | None] = mapped_column(String(40))
