"""A fresh ledger for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ledger import Ledger, settings_in


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(settings_in(tmp_path, part_bytes=1024, max_upload_bytes=10_000))
    yield made
    made.close()
