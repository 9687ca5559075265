"""From the bytes of a pickle to inert nodes, and to the account of every global in it.

When a walk ends in an error, what stands behind it is looked through all the same
(:mod:`inspector.checkpoint.pickles.salvage`), so that every caller's ledger names the payload.
"""

from __future__ import annotations

from dataclasses import dataclass

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.inert import Global, Persistent
from inspector.checkpoint.pickles.known import can_be_idle
from inspector.checkpoint.pickles.ledger import Ledger
from inspector.checkpoint.pickles.machine import Walker
from inspector.checkpoint.pickles.operands import Cursor
from inspector.checkpoint.pickles.salvage import salvage
from inspector.errors import ArtifactError, LimitExceeded

_PASSABLE = ("pickle string bytes", "pickle integer bytes", "pickle memo index")
"""Limits on one operand; the others bound the work, and looking further would double it."""

__all__ = ["Ledger", "Walked", "walk"]


@dataclass(frozen=True, slots=True)
class Walked:
    """The value of one pickle, the byte after its STOP, and every persistent id in it."""

    value: object
    end: int
    persistents: tuple[Persistent, ...]


def walk(data: bytes, ledger: Ledger, limits: Limits, start: int = 0) -> Walked:
    """Walk the pickle that begins at ``start`` of ``data``; more bytes may follow it.

    ``ledger`` receives every global, also when the walk fails.

    Raises:
        MalformedArtifact, LimitExceeded: see :meth:`Walker.run`.
    """
    cursor = Cursor(data, limits, start)
    walker = Walker(cursor, ledger)
    try:
        value = walker.run()
    except ArtifactError as error:
        _forget_what_waits(walker)
        if not isinstance(error, LimitExceeded) or error.resource in _PASSABLE:
            salvage(data, ledger, limits, start)
        raise
    return Walked(value, cursor.position, tuple(walker.persistents))


def _forget_what_waits(walker: Walker) -> None:
    # A file that was cut off names functions that it did not come to call.
    for value in walker.waiting():
        if isinstance(value, Global) and can_be_idle(value):
            entry = walker.ledger.entries.get((value.module, value.name))
            if entry is not None:
                entry.pushed -= 1
