"""The thread beside a job: keeps the lease alive and notices that the job must end.

Every ``every_s`` it extends the lease and looks for cancel, deadline, lost lease or shutdown. On
the first of these it remembers why and calls ``interrupt``, which kills whatever the job waits for;
the job's own thread then asks :meth:`check` and stops. A database that does not answer is no reason
to stop, however long: nobody else can take the job meanwhile, and the fence decides when it is
back. Knows nothing of the work itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from app.db.session import Database
from app.inspections import lease

logger = logging.getLogger("clipvet.worker")


class ShuttingDown(Exception):
    """The worker was told to end; the job goes back to the queue."""


class LeaseKeeper:
    """Use as a context manager around one attempt."""

    def __init__(
        self,
        database: Database,
        held: lease.Claim,
        *,
        lease_s: float,
        every_s: float,
        shutdown: threading.Event,
        interrupt: Callable[[], None],
    ) -> None:
        self._database = database
        self._held = held
        self._lease_s = lease_s
        self._every_s = every_s
        self._shutdown = shutdown
        self._interrupt = interrupt
        self._over = threading.Event()
        self._ended = threading.Event()
        self._reason: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Raises what ended the job: ``LeaseLost``, ``StopRequested`` or ``ShuttingDown``."""
        if self._reason is not None:
            raise self._reason

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the moment at which the job must end."""
        self._ended.wait(seconds)

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                if self._shutdown.is_set():
                    raise ShuttingDown
                lease.extend(self._database, self._held, self._lease_s)
            except SQLAlchemyError:
                logger.warning("the database does not answer; the lease was not extended")
            except (lease.LeaseLost, lease.StopRequested, ShuttingDown) as reason:
                self._stop(reason)
                return

    def _stop(self, reason: Exception) -> None:
        if self._over.is_set():
            return
        self._reason = reason
        self._ended.set()
        self._interrupt()
