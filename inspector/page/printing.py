"""The page as a PDF, by WeasyPrint, which is an extra: most have no use for it, and it needs Pango.

The style's rules for print are the form of both; the page's text is that of the HTML.
"""

from __future__ import annotations

import importlib
from typing import Any

EXTRA = "clipvet[pdf]"


class NoPrinter(Exception):
    """WeasyPrint, or a library of the system that it needs, is not installed."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"a PDF needs WeasyPrint and Pango: pip install '{EXTRA}', and on Debian "
            f"libpango-1.0-0 and libpangoft2-1.0-0 ({why}); the HTML page prints as it is"
        )


def pdf_of(html: str) -> bytes:
    """A page of ours as PDF. It may load nothing but the pictures that are in it.

    Raises:
        NoPrinter: the extra is not installed here.
    """
    weasyprint = _weasyprint()
    inside = weasyprint.urls.URLFetcher(allowed_protocols=["data"])
    pdf: bytes = weasyprint.HTML(string=html, url_fetcher=inside).write_pdf()
    return pdf


def _weasyprint() -> Any:
    try:
        return importlib.import_module("weasyprint")
    except (ImportError, OSError) as problem:
        raise NoPrinter(str(problem).partition("\n")[0][:200]) from problem
