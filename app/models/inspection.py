"""One inspection, its events, its report and the files it left.

The inspection row is the truth about a job: who holds it (lease), which attempt counts (fence),
what came out. Queues only wake workers up.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import DEFAULT_TENANT, Base, utcnow


class Status(StrEnum):
    """Where the job stands; says nothing about the model."""

    QUEUED = "queued"
    VALIDATING = "validating"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


ACTIVE = (Status.VALIDATING, Status.RUNNING)
"""A worker holds a lease."""
TERMINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.EXPIRED)


class Inspection(Base):
    """One job over one artifact."""

    __tablename__ = "inspections"
    __table_args__ = (
        Index(None, "status", "created_at"),
        Index(None, "tenant", "artifact_sha256"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), default=DEFAULT_TENANT)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), index=True)
    artifact_sha256: Mapped[str] = mapped_column(String(64))
    artifact_size: Mapped[int] = mapped_column(BigInteger)
    request: Mapped[dict[str, Any]]
    """backbone, manifest, and the options that the job reads; of pictures their uploads' ids."""
    labels: Mapped[dict[str, Any]]
    fail_on: Mapped[str] = mapped_column(String(16))

    status: Mapped[str] = mapped_column(String(16), default=Status.QUEUED)
    verdict: Mapped[str | None] = mapped_column(String(16))
    result: Mapped[str | None] = mapped_column(String(8))
    summary: Mapped[dict[str, Any] | None]
    """Score, threshold, target and finding counts, copied out of the report for quick answers."""
    stage: Mapped[str] = mapped_column(String(64), default="queued")
    progress: Mapped[float] = mapped_column(default=0.0)
    eta_s: Mapped[float | None]
    message: Mapped[str] = mapped_column(String(500), default="")
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(2000))

    attempt: Mapped[int] = mapped_column(default=0)
    """Rises with every claim and never falls; the fence of the final commit."""
    attempts_allowed: Mapped[int]
    """Of ``attempt``; rises with each one that ended for a reason which is not the job's."""
    losses: Mapped[int] = mapped_column(default=0)
    """How many workers died or vanished while they had it."""
    lease_owner: Mapped[str | None] = mapped_column(String(80))
    lease_until: Mapped[datetime | None] = mapped_column(index=True)
    not_before: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime]
    last_seq: Mapped[int] = mapped_column(default=0)
    base_url: Mapped[str] = mapped_column(String(500), default="")

    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class InspectionEvent(Base):
    """One line of an inspection's history; ``seq`` counts from 1 without gaps."""

    __tablename__ = "inspection_events"
    __table_args__ = (UniqueConstraint("inspection_id", "seq"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    inspection_id: Mapped[str] = mapped_column(ForeignKey("inspections.id", ondelete="CASCADE"))
    seq: Mapped[int]
    ts: Mapped[datetime] = mapped_column(default=utcnow)
    status: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int]
    stage: Mapped[str] = mapped_column(String(64))
    progress: Mapped[float]
    eta_s: Mapped[float | None]
    message: Mapped[str] = mapped_column(String(500))


class Report(Base):
    """The report as the inspection wrote it, byte for byte."""

    __tablename__ = "reports"

    inspection_id: Mapped[str] = mapped_column(
        ForeignKey("inspections.id", ondelete="CASCADE"), primary_key=True
    )
    body: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))


class Artifact(Base):
    """A file that an inspection left: trigger pictures, examples, repaired weights."""

    __tablename__ = "artifacts"

    inspection_id: Mapped[str] = mapped_column(
        ForeignKey("inspections.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    storage_key: Mapped[str] = mapped_column(String(512))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(String(100))
