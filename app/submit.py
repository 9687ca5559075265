"""``clipvet submit``: the client's gate with bars on the screen.

Knows how it is drawn; what is sent and told is ``app.client.gate``'s.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.client import files
from app.client.gate.outcome import plain
from app.client.gate.submission import Submission, run


class Bars:
    """A bar for the upload and one for the inspection, on stderr; use as a context manager."""

    def __init__(self, size: int) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True),
        )
        self._sending = self._bars.add_task("upload", total=size, note="")
        self._waiting: Any = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the bars as they are; repeating it is harmless."""
        self._bars.stop()

    def sent(self, done: int) -> None:
        """So many bytes have arrived; a folder is sent as somewhat more than it holds."""
        total = max(done, self._bars.tasks[0].total or 0)
        self._bars.update(self._sending, completed=done, total=total)

    def now(self, row: dict[str, Any]) -> None:
        """The inspection's stage, how far it is, and how long it may take."""
        if self._waiting is None:
            self._waiting = self._bars.add_task("queued", total=1.0, note="")
        note = f"about {row['eta_s']:.0f} s left" if row["eta_s"] is not None else ""
        stage, done = plain(row["stage"]), row["progress"]
        self._bars.update(self._waiting, description=stage, completed=done, note=note)


def submit(url: str, token: str | None, wanted: Submission) -> int:
    """Send, wait if asked, tell what came out; the exit code."""
    with Bars(files.size_of(wanted.artifact)) as bars:
        return run(url, token, wanted, bars)
