"""Rows of a run, one JSON object a line, written as it goes: a run that is cut off leaves evidence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Record:
    """Appends rows of any thread to ``rows.jsonl`` and keeps them."""

    def __init__(self, folder: Path, *, is_loud: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "rows.jsonl").open("a")
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._is_loud = is_loud
        self.rows: list[Row] = []

    @property
    def now(self) -> float:
        """Seconds since the run began; no fault moves this clock."""
        return time.monotonic() - self._begun

    def write(self, kind: str, **fields: Any) -> None:
        row = {"at": round(self.now, 3), "kind": kind} | fields
        with self._lock:
            self.rows.append(row)
            self._file.write(json.dumps(row, default=str) + "\n")
            self._file.flush()
        if self._is_loud and kind in ("fault", "ended_by_itself", "phase"):
            shown = " ".join(f"{name}={value}" for name, value in fields.items())
            print(f"{row['at']:8.1f} {kind} {shown}", flush=True)

    def of(self, kind: str) -> list[Row]:
        """Rows of one kind so far, in order."""
        with self._lock:
            return [row for row in self.rows if row["kind"] == kind]


def read_rows(folder: Path) -> Iterator[Row]:
    """What a run wrote; a last line that was cut off is left out."""
    for line in (folder / "rows.jsonl").read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return
