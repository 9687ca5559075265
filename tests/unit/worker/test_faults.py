"""Every error has a place in the table."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from app.errors import StoreUnavailable
from app.storage import StoreMissing
from inspector import errors
from worker.faults import ChildFault, StoredBytesChanged, classify


@pytest.mark.parametrize(
    ("error", "code", "may_retry"),
    [
        (ChildFault("inspection_crashed", "boom"), "inspection_crashed", True),
        (ChildFault("bug", "boom", is_final=True), "bug", False),
        (StoredBytesChanged("x"), "stored_bytes_changed", False),
        (StoreMissing("k"), "artifact_gone", False),
        (StoreUnavailable("x"), "store_unavailable", True),
        (OSError(errno.ENOSPC, "full"), "disk_full", True),
        (errors.ReaderCrashed(-9, ""), "reader_crashed", True),
        (errors.SandboxTooWeak("seccomp", "rlimits", []), "sandbox_too_weak", False),
        (RuntimeError("x"), "internal_error", True),
    ],
)
def test_the_table(error: Exception, code: str, may_retry: bool) -> None:
    fault = classify(error)
    assert (fault.code, fault.may_retry) == (code, may_retry)


def test_what_we_do_not_know_is_told_by_its_kind_alone() -> None:
    fault = classify(FileNotFoundError(errno.ENOENT, "no such file", "/srv/backbones/ours"))
    assert (fault.code, fault.message) == ("internal_error", "FileNotFoundError")


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for below in kind.__subclasses__():
        yield below
        yield from subclasses(below)


@pytest.mark.parametrize("kind", list(subclasses(errors.InspectorError)))
def test_every_inspector_error_says_whether_to_retry(kind: type[errors.InspectorError]) -> None:
    fault = classify(kind.__new__(kind))
    assert fault.may_retry == (kind.kind == "retry")
