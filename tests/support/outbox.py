"""The webhook outbox by hand."""

from __future__ import annotations

from app.db.session import Database
from app.webhooks import service


def take_any(database: Database, lease_s: float = 60) -> service.DueDelivery | None:
    """Lease a due delivery of whichever endpoint has one that nobody else gets first."""
    for line in service.waiting(database):
        if due := service.take_due(database, line.endpoint_id, lease_s):
            return due
    return None
