"""A minute of chaos in the default suite, and the two aimed scenarios in short."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.chaos.findings import Finding, table
from tests.chaos.outage import outage
from tests.chaos.record import Record
from tests.chaos.run import Run, offered, small
from tests.chaos.wakeups import wakeups

_SEED = 2


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below pytest's folders: those are 0700, and as root the database runs as another user.
    with TemporaryDirectory(prefix="cv-chaos-", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _must_hold(findings: Iterable[Finding]) -> None:
    listed = list(findings)
    print(table(listed))
    broken = [finding for finding in listed if finding.holds is False]
    assert not broken, table(broken)


def test_nothing_is_lost_or_doubled_under_faults_of_many_kinds(folder: Path) -> None:
    for excuse in offered()[1]:
        warnings.warn(excuse, stacklevel=1)
    _must_hold(Run(small(), _SEED, Record(folder), folder).perform())


def test_jobs_survive_an_outage_of_store_and_database(folder: Path) -> None:
    _must_hold(outage(folder, Record(folder), seconds=5, jobs=6))


def test_a_lost_wake_up_and_a_retry_begin_in_time(folder: Path) -> None:
    _must_hold(wakeups(folder, Record(folder), times=1))
