"""Policies as rows: a new version, the newest, all of them. Knows no HTTP and no rule."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db import clock
from app.db.base import DEFAULT_TENANT
from app.db.ids import new_id
from app.errors import NotFound
from app.models import PolicyVersion


def sha256_of(document: dict[str, Any]) -> str:
    """Of a policy in canonical JSON, by which two documents are the same."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def add(session: Session, document: dict[str, Any]) -> PolicyVersion:
    """The next version of the policy of that name; two at a time are a conflict of the database."""
    name = document["name"]
    newest = session.scalar(
        select(func.max(PolicyVersion.version)).where(
            PolicyVersion.tenant == DEFAULT_TENANT, PolicyVersion.name == name
        )
    )
    row = PolicyVersion(
        id=new_id("pol"),
        name=name,
        version=(newest or 0) + 1,
        document=document,
        sha256=sha256_of(document),
        created_at=clock.now(session),
    )
    session.add(row)
    session.flush()
    return row


def get(session: Session, name: str, version: int | None) -> PolicyVersion:
    """That version, or the newest. Raises ``NotFound``."""
    query = (
        select(PolicyVersion)
        .where(PolicyVersion.tenant == DEFAULT_TENANT, PolicyVersion.name == name)
        .order_by(PolicyVersion.version.desc())
        .limit(1)
    )
    if version is not None:
        query = query.where(PolicyVersion.version == version)
    row = session.scalar(query)
    if row is None:
        of_it = "" if version is None else f" of version {version}"
        raise NotFound(f"no policy {name[:64]!r}{of_it}")
    return row


def newest_first(session: Session, *, before_id: str | None, limit: int) -> list[PolicyVersion]:
    """Identifiers sort by time of creation, so the last id of a page is its cursor."""
    query = (
        select(PolicyVersion)
        .where(PolicyVersion.tenant == DEFAULT_TENANT)
        .order_by(PolicyVersion.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        query = query.where(PolicyVersion.id < before_id)
    return list(session.scalars(query))
