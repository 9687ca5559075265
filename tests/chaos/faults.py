"""Every kind of fault: a context manager each, entered when it begins and left when it is mended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random

from tests.chaos.world import World


class Missed(Exception):
    """There was nothing to hit, or somebody else is at it; to be tried again later."""


Fault = Callable[[World, Random], AbstractContextManager[str]]
"""Yields what was hit. Raises ``Missed`` before anything has happened."""


@dataclass(frozen=True)
class Kind:
    """One kind of fault, how long it lasts, and its share of a schedule."""

    name: str
    fault: Fault
    lasts_s: tuple[float, float]
    share: float = 1.0
    needs: str = ""
    """``clock``, ``disk`` or nothing: what the machine must offer."""
    outlasts_lease: bool = False
    """``lasts_s`` counts from the end of a lease."""
