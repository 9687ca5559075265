"""The table of a run from its rows, also of one that was cut off."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.chaos.findings import Finding, table
from tests.chaos.record import read_rows


def show(state: Path) -> bool:
    """Print it; whether the run came to its end and everything holds."""
    rows = list(read_rows(state))
    findings = [
        Finding(row["name"], row["figure"], row["holds"], row["detail"])
        for row in rows
        if row["kind"] == "finding"
    ]
    counts = Counter(row["kind"] for row in rows)
    print(table(findings))
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    is_whole = any(one.name == "processes left over" for one in findings)
    if not is_whole:
        print(f"cut off after {rows[-1]['at'] if rows else 0} s: nothing is proved")
    return is_whole and all(one.holds is not False for one in findings)
