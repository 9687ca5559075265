"""The outbox: wake-ups for the broker, written with the state change that calls for them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, utcnow


class Dispatch(Base):
    """A wake-up: some worker should look at this inspection. Deleted once the broker has it."""

    __tablename__ = "dispatches"

    id: Mapped[int] = mapped_column(primary_key=True)
    inspection_id: Mapped[str] = mapped_column(ForeignKey("inspections.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
