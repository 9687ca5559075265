"""`clipvet page`: draw the page of a stored report again; `inspect` and `repair` draw it beside it.

Torch-free. The page needs the report, its pictures and, from a service, the record of the
inspection; nothing of it is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from inspector.cli.screen import note
from inspector.errors import RequestError
from inspector.files import read_json, write_whole

REPORT, RECORD, PAGE, PDF = "report.json", "record.json", "report.html", "report.pdf"


def page(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help=f"With {REPORT} and its pictures.")
    ],
    record: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help=f"The inspection as a service tells it; default: FOLDER/{RECORD}, if any.",
        ),
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help=f"Also {PDF}; needs clipvet[pdf].")] = False,
) -> None:
    """Draw the page of a stored report again, byte for byte."""
    told = _record(record or folder / RECORD)
    html = write_page(folder, told)
    note(f"page: {folder / PAGE}")
    if pdf:
        _write_pdf(html, folder / PDF)
        note(f"page: {folder / PDF}")


def write_page(folder: Path, record: Mapping[str, Any] | None = None) -> str:
    """Draw `report.html` beside the report of a folder; the text.

    Raises:
        RequestError: there is no report that can be read.
    """
    # Not above: most commands need not wait for it.
    from inspector.page import Sources, render

    _object(folder / REPORT)

    def fetch(name: str) -> bytes | None:
        path = folder / name
        return path.read_bytes() if Path(name).name == name and path.is_file() else None

    body = (folder / REPORT).read_bytes().decode("utf-8")
    text = render(Sources(body, record or {}, fetch))
    write_whole(folder / PAGE, text)
    return text


def _record(path: Path) -> Mapping[str, Any]:
    return _object(path) if path.is_file() else {}


def _object(path: Path) -> Mapping[str, Any]:
    try:
        value = read_json(path)
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise RequestError("folder", f"cannot read {path.name}: {why}") from problem
    if not isinstance(value, dict):
        raise RequestError("folder", f"{path.name} is no JSON object")
    return value


def _write_pdf(html: str, path: Path) -> None:
    from inspector.page import NoPrinter, pdf_of

    try:
        path.write_bytes(pdf_of(html))
    except NoPrinter as problem:
        raise RequestError("pdf", str(problem)) from problem
