"""The page of an inspection that the ledger knows: what is drawn from, and what it may load.

The page itself is :mod:`inspector.page`'s, as on the command line. The policy header forbids it to
load anything, whoever saves or mails it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.errors import Busy, NotFound
from app.html import policy_of
from app.models import Artifact
from inspector.page import MOST_BYTES, STYLE, NoPrinter, Sources, pdf_of
from inspector.page import render as draw

HEADERS = {
    "Content-Security-Policy": policy_of(STYLE, "img-src data:"),
    "Referrer-Policy": "no-referrer",
}
_PRINTER = threading.Lock()
_PATIENCE_S = 20
"""Laying out takes seconds of a core: one page at a time, and nobody holds a thread for long."""


def render(
    report: str,
    record: Mapping[str, Any],
    artifacts: Sequence[Artifact],
    read: Callable[[Artifact], bytes | None],
) -> str:
    """The page.

    Args:
        report: as the inspection wrote it.
        record: the inspection as REST tells it.
        read: an artifact's bytes, None where they are gone; it is called for small files only.
    """
    kept = {item.name: item for item in artifacts if item.size <= MOST_BYTES}

    def fetch(name: str) -> bytes | None:
        item = kept.get(name)
        return None if item is None else read(item)

    return draw(Sources(report, record, fetch))


def render_without_report(record: Mapping[str, Any]) -> str:
    """The page of an inspection that has no report, or none yet."""
    return draw(Sources(None, record, lambda _name: None))


def printed(html: str) -> bytes:
    """The page as PDF.

    Raises:
        NotFound: this service has no printer (``pdf_not_installed``).
        Busy: other pages are being printed.
    """
    if not _PRINTER.acquire(timeout=_PATIENCE_S):
        raise Busy("other pages are being printed; ask again in a moment", code="printer_busy")
    try:
        return pdf_of(html)
    except NoPrinter as problem:
        raise NotFound(str(problem), code="pdf_not_installed") from problem
    finally:
        _PRINTER.release()
