"""Chores of the workers; answers of idempotent requests are written with the work.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add ``chores`` with the purge due at once; drop claims without an answer."""
    chores = op.create_table(
        "chores",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chores")),
    )
    op.bulk_insert(chores, [{"name": "purge", "due_at": datetime(2000, 1, 1, tzinfo=UTC)}])
    # Claims without an answer: their requests have died or will find the row gone.
    op.execute("DELETE FROM idempotency_keys WHERE status IS NULL")
    _set_nullable(False)


def downgrade() -> None:
    """Drop ``chores``; answers may be missing again."""
    _set_nullable(True)
    op.drop_table("chores")


def _set_nullable(nullable: bool) -> None:
    with op.batch_alter_table("idempotency_keys") as table:
        table.alter_column("status", existing_type=sa.Integer(), nullable=nullable)
        table.alter_column("headers", existing_type=sa.JSON(), nullable=nullable)
        table.alter_column("body", existing_type=sa.JSON(), nullable=nullable)
