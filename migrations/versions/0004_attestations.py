"""Signed verdicts, each signed when it is first asked for.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add ``attestations``, empty: what ended before is signed like the rest."""
    op.create_table(
        "attestations",
        sa.Column("inspection_id", sa.String(length=40), nullable=False),
        sa.Column("predicate", sa.String(length=32), nullable=False),
        sa.Column("keyid", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["inspection_id"],
            ["inspections.id"],
            name=op.f("fk_attestations_inspection_id_inspections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("inspection_id", "predicate", name=op.f("pk_attestations")),
    )


def downgrade() -> None:
    """Drop ``attestations``; the reports stay."""
    op.drop_table("attestations")
