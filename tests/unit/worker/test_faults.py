"""Every error has a place in the table."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.errors import StoreUnavailable
from app.storage import StoreMissing
from inspector import errors
from worker.faults import ChildFault, StoredBytesChanged, classify


@pytest.mark.parametrize(
    ("error", "code", "consequence"),
    [
        (ChildFault("inspection_crashed", "boom"), "inspection_crashed", "retry"),
        (ChildFault("bug", "boom", is_final=True), "bug", "fail"),
        (StoredBytesChanged("x"), "stored_bytes_changed", "fail"),
        (StoreMissing("k"), "artifact_gone", "fail"),
        (StoreUnavailable("x"), "store_unavailable", "wait"),
        (OSError(errno.ENOSPC, "full"), "disk_full", "wait"),
        (errors.ReaderCrashed(-9, ""), "reader_crashed", "retry"),
        (errors.SandboxTooWeak("seccomp", "rlimits", []), "sandbox_too_weak", "fail"),
        (ChildFault("disk_full", "x"), "disk_full", "wait"),
        (BlockingIOError(errno.EAGAIN, "no more processes"), "machine_exhausted", "wait"),
        (OperationalError("", {}, Exception()), "database_unavailable", "wait"),
        (PoolTimeout(), "database_unavailable", "wait"),
        (OSError(errno.EROFS, "read-only"), "machine_exhausted", "wait"),
        (OSError(errno.EIO, "broken"), "machine_exhausted", "wait"),
        (RuntimeError("can't start new thread"), "machine_exhausted", "wait"),
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            "machine_exhausted",
            "wait",
        ),
        (ChildFault("machine_exhausted", "x"), "machine_exhausted", "wait"),
        (RuntimeError("x"), "internal_error", "retry"),
    ],
)
def test_the_table(error: Exception, code: str, consequence: str) -> None:
    fault = classify(error)
    assert (fault.code, fault.consequence) == (code, consequence)


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
    assert (fault.consequence != "fail") == (kind.kind == "retry")
