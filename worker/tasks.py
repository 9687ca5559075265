"""Celery's view of the worker: a task that makes the runner look at the queue.

Everything that matters is in ``worker.runner`` and in the rows; a message may
come late, twice or never.
"""

from __future__ import annotations

from celery.signals import worker_shutting_down

from worker import assembly
from worker.celery_app import INSPECT_TASK, celery


@celery.task(name=INSPECT_TASK)  # type: ignore[untyped-decorator]
def inspect(_inspection_id: str) -> None:
    """Work off the queue; the id only tells that something came."""
    # Whatever it was sent for, what has waited longest comes first.
    assembly.worker().runner.wake()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _give_back(**_kwargs: object) -> None:
    assembly.worker().runner.shutdown.set()
