"""What a search costs, told before it: units of progress, seconds and pictures.

What was spent is counted in `inspector.run.flops`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Expected:
    """Of a first sweep: units of progress, seconds, and images that are encoded."""

    units: int
    seconds: float
    images: int


def timed(work: Callable[[], object], on: Tensor) -> float:
    """Seconds on the device of `on`, of any shape; of the second time, as the first warms up."""
    work()
    if on.is_cuda:
        torch.cuda.synchronize()
    started = time.monotonic()
    work()
    if on.is_cuda:
        torch.cuda.synchronize()
    return time.monotonic() - started
