"""Celery's view of the worker: a task that passes an id on to the runner.

Everything that matters is in ``worker.runner`` and in the row; the message may come twice or never.
"""

from __future__ import annotations

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from worker import assembly
from worker.celery_app import INSPECT_TASK, celery


@celery.task(name=INSPECT_TASK)  # type: ignore[untyped-decorator]
def inspect(inspection_id: str) -> None:
    assembly.worker().runner.run(inspection_id)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _start(**_kwargs: object) -> None:
    assembly.worker().start(celery)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _give_back(**_kwargs: object) -> None:
    assembly.worker().runner.shutdown.set()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stop(**_kwargs: object) -> None:
    assembly.worker().stop()
