"""``python -m worker``: take jobs until told to stop.

With ``CLIPVET_BROKER_URL`` it is a Celery worker; without, it polls the rows of an embedded
service, alone on its data folder (a lock file sees to that). SIGTERM and Ctrl-C give the current
job back to the queue.
"""

from __future__ import annotations

import fcntl
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from celery.signals import worker_ready
from celery.worker import state

from app.inspections.reaper import Reaper
from app.settings import Settings
from worker import assembly
from worker.celery_app import celery

logger = logging.getLogger("clipvet.worker")

_CONSUMER = [
    "worker",
    "--pool=threads",
    "--concurrency=1",
    "--without-gossip",
    "--without-mingle",
    "--loglevel=INFO",
]


@contextmanager
def _alone(settings: Settings, shutdown: threading.Event) -> Iterator[None]:
    """Wait until no other embedded worker uses this data folder, or until ``shutdown``."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "worker.lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if shutdown.wait(0.2):
                    break
        yield


def run_embedded(settings: Settings) -> None:
    """Poll the rows and run one inspection after the other."""
    worker = assembly.worker()
    runner = worker.runner
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runner.shutdown.set())
    with _alone(settings, runner.shutdown):
        # We hold the lock, so every other owner with our prefix is dead: no need to wait for
        # its leases to run out.
        prefix = assembly.owner_prefix(settings)
        if runner.shutdown.is_set():
            return
        reaper = Reaper(worker.database, settings.max_worker_losses, watch_s=0)
        reaper.reap(is_dead=lambda owner: owner.startswith(prefix))
        worker.start(None)
        logger.info("worker %s is ready", runner.owner)
        runner.work()
        worker.stop()


def end_consumer(shutdown: threading.Event) -> None:
    """Ask for the end, of Celery's consumer as well, which knows only its own flag."""
    shutdown.set()
    state.should_stop = 0


@worker_ready.connect  # type: ignore[untyped-decorator]
def _no_restart(**_kwargs: object) -> None:
    # Celery's own handler would become another process at the end of this one.
    shutdown = assembly.worker().runner.shutdown
    signal.signal(signal.SIGHUP, lambda *_: end_consumer(shutdown))


def run_celery(settings: Settings) -> None:
    """Work on the rows, woken by messages.

    A consumer that ends by itself (a message that is no JSON ends it, with exit
    status 0) is started again.
    """
    worker = assembly.worker()
    shutdown = worker.runner.shutdown
    worker.start(celery)
    logger.info("worker %s is ready", worker.runner.owner)
    try:
        while not shutdown.is_set():
            # A signal before Celery has its handlers, or between two consumers, must end it, too.
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda *_: end_consumer(shutdown))
            state.should_stop = state.should_terminate = None
            if shutdown.is_set():
                # By a signal whose flag the line above took back.
                break
            with suppress(SystemExit):
                celery.worker_main(_CONSUMER)
            if not shutdown.wait(settings.poll_s):
                logger.error("the consumer of wake-ups ended; starting it again")
    finally:
        worker.stop()


def main() -> None:
    """Log to stderr, then take jobs from Celery, or from the rows where there is no broker."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s"
    )
    settings = Settings()
    if settings.is_embedded:
        run_embedded(settings)
    else:
        run_celery(settings)


if __name__ == "__main__":
    main()
