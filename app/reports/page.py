"""The page of an inspection that the ledger knows: what is drawn from, and what it may load.

The page itself is :mod:`inspector.page`'s, as on the command line. The policy header forbids it to
load anything, whoever saves or mails it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.html import policy_of
from app.models import Artifact
from inspector.page import MOST_BYTES, STYLE, Sources
from inspector.page import render as draw

HEADERS = {
    "Content-Security-Policy": policy_of(STYLE, "img-src data:"),
    "Referrer-Policy": "no-referrer",
}


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
