"""Loaded by every interpreter whose clock is moved: ``time.sleep`` by another system call.

``libfaketime`` 0.9.10 (Debian 12 and 13) passes a negative time to ``clock_nanosleep`` when monotonic clocks
are left alone (its issue 426), so that the ``time.sleep`` of Python 3.11 raises ``OSError``.
"""

import select
import time


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep  # type: ignore[assignment]
