"""Tables that grow a row at a time, so that a run that was stopped goes on."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


def write(table: Path, row: Mapping[str, object], fields: Sequence[str]) -> None:
    """One line more, below a header."""
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def read(table: Path) -> list[dict[str, str]]:
    """All lines; none where there is no table."""
    return list(csv.DictReader(table.open(newline=""))) if table.exists() else []
