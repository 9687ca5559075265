"""Bring a database to the newest schema, and say whether it is there.

Alembic is driven from code, so that an installed package needs no ini file. Knows no table.
"""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.orm import Session

from app.db.session import Database


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(database: Database) -> None:
    """Apply every missing migration in one transaction; a second caller waits, then finds none."""
    config = _config()
    with database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Whoever waits here waits for another's migration, which may take its time.
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7310993)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def is_current(session: Session) -> bool:
    """Whether the schema is the one that this code was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    return MigrationContext.configure(session.connection()).get_current_revision() == head
