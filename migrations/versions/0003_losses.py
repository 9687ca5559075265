"""How many workers died while they had an inspection: counted apart from attempts.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add ``losses``, 0 for every inspection that is there."""
    op.add_column(
        "inspections", sa.Column("losses", sa.Integer(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    """Drop ``losses``."""
    op.drop_column("inspections", "losses")
