"""The report as one self-contained HTML page: autoescaped, no script, pictures inside.

Draws what the report says and judges nothing. The page may be saved or mailed; the policy header
forbids it to load anything. The verdict is written out and marked by a sign, not by colour alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from app.html import pages_of
from app.models import Artifact

_MAX_PICTURES = 40
_MAX_PICTURE_BYTES = 2 * 1024 * 1024
_PICTURE_TYPES = {"image/png", "image/jpeg"}

_pages = pages_of("app.reports", "report.css")

HEADERS = {
    "Content-Security-Policy": _pages.policy("img-src data:"),
    "Referrer-Policy": "no-referrer",
}


def render(report_body: str, artifacts: list[Artifact], read: Callable[[Artifact], bytes]) -> str:
    """The page. ``read`` gives an artifact's bytes; it is called for small pictures only."""
    report: dict[str, Any] = json.loads(report_body)
    told = {file.get("name"): file.get("description") for file in report.get("artifacts") or []}
    pictures = [
        {"name": item.name, "alt": told.get(item.name, item.name), "uri": _data_uri(item, read)}
        for item in artifacts
        if item.media_type in _PICTURE_TYPES and item.size <= _MAX_PICTURE_BYTES
    ]
    return _pages.templates.get_template("report.html").render(
        report=report,
        style=_pages.style,
        rows=_ranked(report),
        pictures=pictures[:_MAX_PICTURES],
        artifacts=artifacts,
        raw=json.dumps(report, indent=2, ensure_ascii=False),
    )


def _data_uri(item: Artifact, read: Callable[[Artifact], bytes]) -> str:
    return f"data:{item.media_type};base64,{base64.b64encode(read(item)).decode()}"


def _ranked(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Per-class rows, most suspicious first; rows without a score last."""
    rows = [row for row in report.get("per_class") or [] if isinstance(row, dict)]
    return sorted(
        rows,
        key=lambda row: (row.get("score") is None, -(row.get("score") or 0.0), row.get("index")),
    )[:100]
