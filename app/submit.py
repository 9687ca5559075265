"""``clipvet submit``: send one artifact to a service, perhaps wait, say what came out.

Prints; knows the client and the exit codes, not the server. Progress goes to stderr, so stdout
carries the result alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.client import Client
from app.inspections.policy import EXIT_PASS, exit_code


@dataclass(frozen=True, slots=True)
class Submission:
    """What to send and how to wait for it."""

    artifact: Path
    body: dict[str, Any]
    wait: bool
    timeout_s: float | None
    as_json: bool


def read_manifest(path: Path) -> dict[str, Any]:
    """Raises ``ValueError`` unless it is a JSON object."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} is no JSON object")
    return data


def read_classes(path: Path) -> dict[str, Any]:
    """A manifest from names in label order, one a line; blank lines at the end are ignored.

    Raises:
        ValueError: no name, or an empty line between names (a label would shift).
    """
    names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ValueError(f"{path} names no class")
    if "" in names:
        raise ValueError(f"{path}: line {names.index('') + 1} is empty; labels would shift")
    return {"method": "auto", "classnames": names}


def submit(client: Client, wanted: Submission) -> int:
    """Upload, create, wait if asked; the exit code.

    Raises:
        ApiError, Unreachable: as the client.
        TimeoutError: the wait was longer than allowed.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    ) as bars:
        size = wanted.artifact.stat().st_size
        sending = bars.add_task("upload", total=size, note="")
        upload = client.upload(wanted.artifact, lambda sent: bars.update(sending, completed=sent))
        row = client.create_inspection(wanted.body | {"upload_id": upload["id"]})
        if wanted.wait:
            row = _wait(client, row, bars, wanted.timeout_s)
    _print(row, wanted.as_json, client.url_of)
    if not wanted.wait:
        return EXIT_PASS
    critical = (row["summary"] or {}).get("critical_findings", [])
    return exit_code(row["status"], row["verdict"], row["result"], len(critical))


def _wait(
    client: Client, row: dict[str, Any], bars: Progress, timeout_s: float | None
) -> dict[str, Any]:
    task = bars.add_task("queued", total=1.0, note="")
    latest = row
    for latest in client.watch(row["id"], timeout_s):
        eta = f"about {latest['eta_s']:.0f} s left" if latest["eta_s"] is not None else ""
        bars.update(task, description=latest["stage"], completed=latest["progress"], note=eta)
    return latest


def _print(row: dict[str, Any], as_json: bool, url_of: Callable[[str], str]) -> None:
    if as_json:
        print(json.dumps(row, indent=2))
        return
    summary = row["summary"] or {}
    target = summary.get("target")
    links = row["links"]
    lines = {
        "inspection": row["id"],
        "status": row["status"],
        "verdict": row["verdict"],
        "result": row["result"],
        "target": f"{target.get('index')} {target.get('name')}" if target else None,
        "excess ASR": summary.get("excess_asr"),
        "findings": summary.get("finding_counts") or None,
        "error": row["error"] and f"{row['error']['code']}: {row['error']['message']}",
        "report": url_of(links["report_html"]) if "report_html" in links else None,
        "look at": None if row["status"] == "succeeded" else url_of(links["self"]),
    }
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines.items():
        if value is not None:
            table.add_row(name, str(value))
    Console(soft_wrap=True).print(table, markup=False)
