"""Producer side of the broker: names of tasks and the one way to send them.

The web process enqueues by name and never imports the worker. A message is only a wake-up: losing
or repeating one is harmless, because the inspection row decides (``app.inspections.lease``).
"""

from __future__ import annotations

from celery import Celery

INSPECT_TASK = "clipvet.inspect"
INSPECT_QUEUE = "inspect"


def make_celery(broker_url: str | None) -> Celery:
    """A configured Celery application; the worker adds its tasks to one of these."""
    celery = Celery("clipvet", broker=broker_url)
    celery.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        # Early acknowledgement: a lease, not the broker, restarts what a dead worker left.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        task_default_queue=INSPECT_QUEUE,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 5},
    )
    return celery


def send_inspection(celery: Celery, inspection_id: str) -> None:
    """Wake a worker up for one inspection. Raises ``kombu.exceptions.OperationalError``."""
    celery.send_task(INSPECT_TASK, args=[inspection_id], retry=False)
