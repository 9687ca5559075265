"""The Celery application: configuration and the name of its one task.

A message is only a wake-up: losing or repeating one is harmless, because the inspection row decides
(``app.inspections.lease``). Hence early acknowledgement, no results, JSON only. Traps that these
settings avoid are listed in Celery's own documentation, "Using Redis" (visibility timeout) and
"Optimizing" (prefetch).
"""

from __future__ import annotations

from celery import Celery

from app.settings import Settings

INSPECT_TASK = "clipvet.inspect"


def make_celery(broker_url: str | None) -> Celery:
    """A configured application; connects to nothing yet."""
    celery = Celery("clipvet", broker=broker_url, include=["worker.tasks"])
    celery.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        task_default_queue="inspect",
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 5},
    )
    return celery


celery = make_celery(Settings().broker_url)
