"""Opaque cursors: ``{items, next_page_token, has_more}``. Knows no table.

A token is 32 hexadecimal digits: those of the last id of a page (ids sort by time), or its number
in a history. Every such token can be asked for; one that no page ended with only begins in between.
"""

from __future__ import annotations

import re
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, Field

from app.errors import Unprocessable

Item = TypeVar("Item")

_TOKEN = re.compile("[0-9a-f]{32}")
_LAST_SEQ = 2**31 - 1
"""What a column of integers holds."""

PageToken = Annotated[
    str,
    Field(
        description="next_page_token of the page before.",
        json_schema_extra={"pattern": f"^{_TOKEN.pattern}$"},
    ),
]
"""The pattern is told, and :func:`before` and :func:`after_number` refuse what differs
by a code of its own."""


class Page(BaseModel, Generic[Item]):
    """One page; pass ``next_page_token`` as ``page_token`` for the next."""

    items: list[Item]
    next_page_token: str | None
    has_more: bool


def cut(items: list[Item], ids: list[str], limit: int) -> Page[Item]:
    """Make a page of ``limit`` from up to ``limit + 1`` items and their ids."""
    return _page(items, [last.rpartition("_")[2] for last in ids], limit)


def cut_history(items: list[Item], numbers: list[int], limit: int) -> Page[Item]:
    """As :func:`cut`, of what is numbered."""
    return _page(items, [f"{number:032x}" for number in numbers], limit)


def before(prefix: str, token: str | None) -> str | None:
    """The id with this prefix that a page ended with.

    Raises ``Unprocessable`` for what is no token.
    """
    return None if token is None else f"{prefix}_{_checked(token)}"


def after_number(token: str | None) -> int | None:
    """The number that a page of a history ended with.

    Raises ``Unprocessable`` for what is no token.
    """
    return None if token is None else min(int(_checked(token), 16), _LAST_SEQ)


def _page(items: list[Item], tokens: list[str], limit: int) -> Page[Item]:
    has_more = len(items) > limit
    token = tokens[limit - 1] if has_more else None
    return Page[Item](items=items[:limit], next_page_token=token, has_more=has_more)


def _checked(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise Unprocessable("page_token is not one of ours", code="invalid_page_token")
    return token
