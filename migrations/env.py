"""Alembic environment: runs inside the connection that ``app.db.migrate`` hands over.

On PostgreSQL a migration gives up after 4 s of waiting for a lock instead of queueing every other
transaction behind it (warehouse, docs/dev/development/database-migrations).
"""

from __future__ import annotations

from alembic import context

from app import models
from app.db.base import Base

assert models.Upload.metadata is Base.metadata


def run() -> None:
    """Run the migrations in the caller's transaction."""
    connection = context.config.attributes["connection"]
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '4s'")
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
