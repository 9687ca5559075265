"""Engine and transactions: the only place that commits.

SQLite: one writer, so a transaction that will write begins IMMEDIATE (a read that later turns into
a write fails with "database is locked" whatever the timeout), WAL, foreign keys on. PostgreSQL
needs none of it. Knows no table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DataError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeout)
"""What a database raises that is away, restarting, overrun or read-only; the same step may succeed later."""
_BUSY_TIMEOUT_MS = 15_000


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        # pysqlite's own transaction handling would begin DEFERRED behind our back.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("clipvet_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")


def _name_data_errors(engine: Engine) -> None:
    @event.listens_for(engine, "handle_error")
    def on_error(context: ExceptionContext) -> None:
        # PostgreSQL refuses such values itself; sqlite3 raises Python's own errors, which nobody
        # who catches database errors expects.
        error = context.original_exception
        if isinstance(error, OverflowError | UnicodeError):
            raise DataError(context.statement, context.parameters, error) from error


class Database:
    """Engine plus the two ways to use it: :meth:`begin` to write, :meth:`read` to look."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        # Endpoints run in 40 threads; a pool smaller than that would make them wait in turn.
        self.engine = create_engine(url, pool_size=10, max_overflow=40, pool_pre_ping=True)
        _name_data_errors(self.engine)
        if self.is_sqlite:
            _tune_sqlite(self.engine)
        self._write = sessionmaker(self.engine, expire_on_commit=False)
        self._read = sessionmaker(
            self.engine.execution_options(clipvet_begin="DEFERRED"), expire_on_commit=False
        )

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        with self._write() as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view; nothing is committed."""
        with self._read() as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()
