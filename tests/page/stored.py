"""The stored inspections of `tests/page/stored`, and the page of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from inspector.page import Sources, render

FOLDER = Path(__file__).with_name("stored")
NAMES = sorted(path.name for path in FOLDER.iterdir())


@dataclass(frozen=True)
class Stored:
    """What a service keeps of one inspection."""

    name: str

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @cached_property
    def body(self) -> str:
        return (self.folder / "report.json").read_text("utf-8")

    @property
    def report(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.body)
        return loaded

    @property
    def record(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folder / "record.json").read_text("utf-8"))
        return loaded

    def fetch(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None

    def page(self, **changes: Any) -> str:
        """With fields of the report changed."""
        body = json.dumps(self.report | changes) if changes else self.body
        return render(Sources(body, self.record, self.fetch))
