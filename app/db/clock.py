"""The one clock that decisions are made by: the database's.

Leases, due times, deadlines and lifetimes are written by one process and judged by another,
perhaps on a machine whose clock is minutes off. SQLite has no clock of its own, and everything
that shares its file shares a machine. Moments that are only shown (an event's) may come from
``utcnow``. Knows no table.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.base import UtcDateTime, utcnow


def now(session: Session) -> datetime:
    """The current moment, aware UTC; also late in a long transaction, unlike SQL's ``now()``."""
    if session.get_bind().dialect.name != "postgresql":
        return utcnow()
    return session.scalars(select(func.clock_timestamp(type_=UtcDateTime))).one()
