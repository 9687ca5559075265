"""What can go wrong on our side of an inspection, and whether another attempt makes sense.

A trouble with the customer's file is never here: it is a finding in a report. Knows no process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.db.session import AWAY
from app.errors import StoreUnavailable
from app.storage import StoreMissing
from inspector.errors import (
    DISK_IS_FULL,
    MACHINE_LACKS,
    InspectorError,
    ReaderCrashed,
    SandboxTooWeak,
    StorageFull,
)


class ChildFault(Exception):
    """The inspection child broke, said so, or spoke nonsense.

    ``is_final``: another attempt would end the same way.
    """

    def __init__(self, code: str, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.is_final = is_final


class StoredBytesChanged(Exception):
    """The store gave other bytes than the ones that were uploaded."""


Consequence = Literal["wait", "retry", "fail"]
"""``wait``: what the job needs is away; it goes back uncounted, and the worker waits
until all is there. ``retry``: the job ended its attempt; another one may help. ``fail``:
another one would end alike."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Goes to the row, and to the caller: stable code, a sentence, and what follows."""

    code: str
    message: str
    consequence: Consequence


DISK_FULL = Fault("disk_full", "the worker's disk is full", "wait")
MACHINE_EXHAUSTED = Fault(
    "machine_exhausted", "the worker's machine is out of handles, memory or disk", "wait"
)
_NO_THREAD = "start new thread"
_NO_TEMPORARY = "No usable temporary directory"


def classify(error: Exception) -> Fault:
    """Every exception of an attempt as a fault; what we do not know is tried again, and counted."""
    match error:
        case ChildFault(code=DISK_FULL.code):
            return DISK_FULL
        case ChildFault(code=MACHINE_EXHAUSTED.code):
            return MACHINE_EXHAUSTED
        case ChildFault():
            return Fault(error.code, str(error), "fail" if error.is_final else "retry")
        case StoredBytesChanged():
            return Fault("stored_bytes_changed", str(error), "fail")
        case StoreMissing():
            return Fault("artifact_gone", "the stored bytes are gone", "fail")
        case StoreUnavailable():
            return Fault("store_unavailable", error.detail, "wait")
        case ReaderCrashed():
            return Fault("reader_crashed", "the reading process died", "retry")
        case SandboxTooWeak():
            return Fault("sandbox_too_weak", str(error), "fail")
        case StorageFull():
            return DISK_FULL
        case InspectorError():
            return Fault(
                "inspector_error", str(error), "retry" if error.kind == "retry" else "fail"
            )
        case OSError() if error.errno in DISK_IS_FULL:
            return DISK_FULL
        case OSError() if error.errno in MACHINE_LACKS or _NO_TEMPORARY in str(error):
            return MACHINE_EXHAUSTED
        case RuntimeError() if _NO_THREAD in str(error):
            return MACHINE_EXHAUSTED
        case _ if isinstance(error, AWAY):
            return Fault("database_unavailable", "the database does not answer", "wait")
        case _:
            # Its text may name files, statements or hosts; the worker's log has all of it.
            return Fault("internal_error", type(error).__name__, "retry")
