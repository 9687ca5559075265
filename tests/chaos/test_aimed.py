"""The aimed scenarios in short: outages of seconds instead of minutes, once instead of five times."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.findings import must_hold
from tests.chaos.outage import outage
from tests.chaos.record import Record
from tests.chaos.wakeups import wakeups


def test_jobs_survive_an_outage_of_store_and_database(folder: Path) -> None:
    must_hold(outage(folder, Record(folder), seconds=5, jobs=6))


def test_a_lost_wake_up_and_a_retry_begin_in_time(folder: Path) -> None:
    must_hold(wakeups(folder, Record(folder), times=1))
