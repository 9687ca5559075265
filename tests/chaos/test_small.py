"""A minute of chaos in the default suite."""

from __future__ import annotations

import warnings
from pathlib import Path

from tests.chaos.findings import must_hold
from tests.chaos.record import Record
from tests.chaos.run import Run, offered, small

_SEED = 2


def test_nothing_is_lost_or_doubled_under_faults_of_many_kinds(folder: Path) -> None:
    for excuse in offered()[1]:
        warnings.warn(excuse, stacklevel=1)
    must_hold(Run(small(), _SEED, Record(folder), folder).perform())
