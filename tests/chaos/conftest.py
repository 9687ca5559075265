"""What runs of chaos in the default suite share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below pytest's folders: those are 0700, and as root the database runs as another user.
    with TemporaryDirectory(prefix="cv-chaos-", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)
