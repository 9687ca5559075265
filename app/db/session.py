"""Engine and transactions: the only place that commits.

SQLite: one writer, so a transaction that will write begins IMMEDIATE (a read that later turns into
a write fails with "database is locked" whatever the timeout), WAL, foreign keys on. PostgreSQL
needs none of it, but bounds on how long it may keep us waiting. Knows no table.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DataError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeout)
"""What a database raises that is away, restarting, overrun or read-only; the same
step may succeed later."""
_BUSY_TIMEOUT_MS = 15_000

_REACH = {
    "connect_timeout": 5,
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""libpq's, in seconds but for the second: a server whose machine is gone is
noticed within a minute."""
_PATIENCE_MS = {"lock_timeout": 15_000, "idle_in_transaction_session_timeout": 60_000}
"""PostgreSQL's: as long as SQLite waits for a lock, and no lock outlives who forgot it. No
statement_timeout: a migration may rightly take long."""
_GLANCE_S = 3


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


def _limit_postgres(engine: Engine, limits_ms: dict[str, int]) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for name, limit in limits_ms.items():
            cursor.execute(f"SET {name} = {limit}")
        cursor.close()
        # What a transaction sets ends with it, unless it is committed.
        connection.commit()


def _reach(url: URL, **others: int) -> dict[str, Any]:
    """libpq's settings, but for those that the URL makes itself."""
    return {name: value for name, value in (_REACH | others).items() if name not in url.query}


@contextmanager
def _cut_off(connection: Connection, after_s: float) -> Iterator[None]:
    """End the connection from outside when the block takes longer.

    libpq waits for ever for one who took the question and keeps the line alive.
    """
    handle = getattr(connection.connection.driver_connection, "fileno", None)
    if handle is None:
        yield
        return
    with socket.socket(fileno=os.dup(handle())) as line:

        def cut() -> None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(after_s, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


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
        sizes = {"pool_size": 10, "max_overflow": 40}
        if self.is_sqlite:
            self.engine = create_engine(url, pool_pre_ping=True, **sizes)
            _tune_sqlite(self.engine)
            self._brief = self.engine
        else:
            reach = _reach(parsed)
            self.engine = create_engine(url, pool_pre_ping=True, connect_args=reach, **sizes)
            _limit_postgres(self.engine, _PATIENCE_MS)
            reach = _reach(parsed, connect_timeout=_GLANCE_S)
            self._brief = create_engine(url, poolclass=NullPool, connect_args=reach)
            _limit_postgres(self._brief, {"statement_timeout": _GLANCE_S * 1000})
        _name_data_errors(self.engine)
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

    @contextmanager
    def glance(self) -> Iterator[Session]:
        """Like :meth:`read`, on its own connection, and over in seconds if the server hangs."""
        with (
            self._brief.execution_options(clipvet_begin="DEFERRED").connect() as connection,
            _cut_off(connection, _GLANCE_S),
            Session(connection) as session,
        ):
            yield session

    def close(self) -> None:
        """Close every pooled connection; the next use opens new ones."""
        self.engine.dispose()
