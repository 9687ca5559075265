"""What a person sees: tables and findings, progress and estimate. Torch-free.

Results go to standard output, everything else to standard error, so that `--json` stays one object.
Text from an artifact is shown escaped: it may hold terminal sequences or markup.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from inspector.findings import NEXT_STEP, Finding, with_remedies

Event = dict[str, Any]
_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "info": "dim"}
_VERDICTS = {"clean": "green", "suspicious": "yellow", "backdoored": "bold red"}


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, soft_wrap=True)
    if not console.is_terminal:
        console.width = 10_000  # What is piped or logged is not to be broken into lines.
    return console


def note(message: str) -> None:
    """One line on standard error."""
    _console(stderr=True).print(plain(message))


def plain(value: object) -> Text:
    """Text without markup and without control characters."""
    return Text("".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value)))


def show_json(data: Mapping[str, Any]) -> None:
    """The one object of `--json`."""
    print(json.dumps(data, indent=2))


def show_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Label and value, one pair a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(plain(label), plain(value))
    _console().print(table)


def note_findings(findings: Iterable[Finding]) -> None:
    """Findings on standard error, one a line, and below them what to do next."""
    _draw(_console(stderr=True), findings)


def _draw(console: Console, findings: Iterable[Finding]) -> None:
    for finding, remedy in with_remedies(findings):
        label = finding.severity.label
        head = Text(f"{label} ", style=_STYLES[label]).append(f"{finding.id}: ", style="bold")
        console.print(head.append_text(plain(finding.message)))
        if remedy:
            console.print(Text(f"  {NEXT_STEP}: ", style="bold").append_text(plain(remedy)))


def show_report(report: Mapping[str, Any]) -> None:
    """Verdict, suspects and findings of a report."""
    console = _console()
    verdict = report["verdict"]
    console.print(Text(verdict, style=_VERDICTS.get(verdict, "bold yellow")))
    target = report.get("target")
    rows = [("target", f"{target['index']} {target['name']}")] if target else []
    for name in ("score", "threshold", "p_value", "assembly", "profile", "seed"):
        if report.get(name) is not None:
            rows.append((name, _short(report[name])))
    if report.get("repair"):
        rows.append(("repair", _repair(report["repair"])))
    show_rows(rows)
    if report.get("per_class"):
        console.print(_suspects(report["per_class"]))
    _draw(console, map(Finding.from_json, report["findings"]))
    for limit in report.get("limits") or ():
        console.print(Text("limit: ", style="dim").append_text(plain(limit)))


def _repair(repair: Mapping[str, Any]) -> str:
    """The outcome and what it rests on, in one line."""
    after, accuracy = repair.get("after") or {}, repair.get("accuracy")
    measured = (
        f"{_short(accuracy['after'])} ({_short(accuracy['before'])} as delivered)"
        if accuracy
        else "not measured"
    )
    number = repair.get("copies_searched", 1)
    of_several = f" ({number} copies were searched)" if number > 1 else ""
    return (
        f"{repair['outcome']}, by {repair.get('strategy')}{of_several}: "
        f"excess ASR of the old trigger "
        f"{_short(after.get('excess_asr_of_the_old_trigger'))}, accuracy {measured}"
    )


def _suspects(per_class: list[dict[str, Any]], shown: int = 5) -> Table:
    table = Table("class", "score", "margin gain", "excess ASR", title="highest scores", box=None)
    ranked = sorted(per_class, key=lambda row: row.get("score") or float("-inf"), reverse=True)
    for row in ranked[:shown]:
        figures = [_short(row.get(name)) for name in ("score", "margin_gain", "excess_asr")]
        table.add_row(plain(f"{row['index']} {row['name']}"), *figures)
    return table


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "-" if value is None else str(value)


@contextmanager
def progress_bar() -> Iterator[Callable[[Event], None]]:
    """Give a callback for the inspection's events and draw them on standard error.

    The estimate is a line of its own before the first bar, on a terminal or not.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[eta]}", markup=False),
    )
    console = _console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task: TaskID | None = None

        def handle(event: Event) -> None:
            nonlocal task
            if event.get("event") == "estimate":
                progress.console.print(plain(_estimate(event)))
                return
            if task is None:
                task = progress.add_task("", total=1.0, eta="")
            eta = event.get("eta_s")
            progress.update(
                task,
                description=plain(event.get("stage", "")).plain,
                completed=event.get("fraction", 0.0),
                eta=f"about {eta:.0f} s left" if eta is not None else "",
            )

        yield handle


def _estimate(event: Event) -> str:
    seconds, images = event.get("seconds"), event.get("image_forward")
    time = f"about {seconds:.0f} s" if isinstance(seconds, int | float) else "unknown time"
    return f"estimated cost: {time}" + (f", {images} image encodings" if images else "")
