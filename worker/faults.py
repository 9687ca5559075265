"""What can go wrong on our side of an inspection, and whether another attempt makes sense.

A trouble with the customer's file is never here: it is a finding in a report. Knows no process.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from app.errors import StoreUnavailable
from app.storage import StoreMissing
from inspector.errors import InspectorError, ReaderCrashed, SandboxTooWeak, StorageFull


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


@dataclass(frozen=True, slots=True)
class Fault:
    """Goes to the row, and to the caller: stable code, a sentence, and whether to try again."""

    code: str
    message: str
    may_retry: bool


def classify(error: Exception) -> Fault:
    """Every exception of an attempt as a fault; what we do not know is tried again."""
    match error:
        case ChildFault():
            return Fault(error.code, str(error), not error.is_final)
        case StoredBytesChanged():
            return Fault("stored_bytes_changed", str(error), may_retry=False)
        case StoreMissing():
            return Fault("artifact_gone", "the stored bytes are gone", may_retry=False)
        case StoreUnavailable():
            return Fault("store_unavailable", error.detail, may_retry=True)
        case ReaderCrashed():
            return Fault("reader_crashed", "the reading process died", may_retry=True)
        case SandboxTooWeak():
            return Fault("sandbox_too_weak", str(error), may_retry=False)
        case StorageFull():
            return Fault("disk_full", "the worker's disk is full", may_retry=True)
        case InspectorError():
            return Fault("inspector_error", str(error), may_retry=error.kind == "retry")
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Fault("disk_full", "the worker's disk is full", may_retry=True)
        case _:
            # Its text may name files, statements or hosts; the worker's log has all of it.
            return Fault("internal_error", type(error).__name__, may_retry=True)
