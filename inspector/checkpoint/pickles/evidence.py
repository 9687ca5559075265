"""What a pickle would run that nobody asked for: behind the end of another one, or in other files.

Whatever is found goes into the ledger; the caller refuses the file anyway. Bytes that are no pickle
yield nothing. Knows no container.
"""

from __future__ import annotations

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.globals import judge
from inspector.checkpoint.pickles.walker import Ledger, walk
from inspector.errors import ArtifactError

_PICKLES = 16
"""Pickles in a row that are looked at."""


def gather(data: bytes, start: int, ledger: Ledger, limits: Limits) -> None:
    """Note in ``ledger`` what the pickles from byte ``start`` on would run, if they are pickles."""
    for _ in range(_PICKLES):
        if start >= len(data):
            return
        found = Ledger(limits.globals)
        try:
            start, is_whole = walk(data, found, limits, start).end, True
        except ArtifactError:
            is_whole = False
        if is_whole or would_run(found):
            ledger.absorb(found)
        if not is_whole:
            return


def would_run(ledger: Ledger) -> bool:
    """Whether anything in ``ledger`` would be run: no text looks like that by chance."""
    return any(judge(entry) == "critical" for entry in ledger.entries.values())
