"""The clock of one process, moved while it runs: ``libfaketime`` reads the offset from a file.

Only the time of day is moved; monotonic clocks are the machine's, as a clock that is set does not move
them either. Children that the service starts with a clean environment keep the true time.
"""

from __future__ import annotations

import os
from pathlib import Path

PRELOAD = Path(__file__).parent / "preload"
"""To be first in ``PYTHONPATH``."""
PACKAGE = "libfaketime"
"""The Debian package."""


def library() -> Path | None:
    """None where it is not installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class Clock:
    """Use ``environment`` for the process; ``move`` takes effect within a second."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.move(0)

    @property
    def environment(self) -> dict[str, str]:
        found = library()
        if found is None:
            return {}
        return {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def forget(self, pid: int) -> None:
        """Remove what the library keeps in shared memory for a process that was killed."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            Path("/dev/shm", name).unlink(missing_ok=True)

    def move(self, seconds: float) -> None:
        """To so many seconds past the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.0f}\n")
        os.replace(new, self._file)
