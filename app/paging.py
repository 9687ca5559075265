"""Opaque cursors: ``{items, next_page_token, has_more}``. Knows no table.

A token names the last id of a page (ids sort by time), wrapped so that clients do not build one.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Generic, TypeVar

from pydantic import BaseModel

from app.errors import Unprocessable

Item = TypeVar("Item")

ID = re.compile(r"[a-z]{3,4}_[0-9a-f]{32}")
"""As ``app.db.ids`` makes them."""
SEQ = re.compile(r"[0-9]{1,9}")
"""Of events; within what a column of integers holds."""


class Page(BaseModel, Generic[Item]):
    """One page; pass ``next_page_token`` as ``page_token`` for the next."""

    items: list[Item]
    next_page_token: str | None
    has_more: bool


def cut(items: list[Item], ids: list[str], limit: int) -> Page[Item]:
    """Make a page of ``limit`` from up to ``limit + 1`` items and their ids."""
    has_more = len(items) > limit
    token = encode_token(ids[limit - 1]) if has_more else None
    return Page[Item](items=items[:limit], next_page_token=token, has_more=has_more)


def encode_token(last: str) -> str:
    return base64.urlsafe_b64encode(f"v1:{last}".encode()).decode().rstrip("=")


def decode_token(token: str | None, shape: re.Pattern[str] = ID) -> str | None:
    """The last id of a page, of that shape. Raises ``Unprocessable`` for a token we did not make."""
    if token is None:
        return None
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    last = text.removeprefix("v1:")
    if not shape.fullmatch(last) or token != encode_token(last):
        raise Unprocessable("page_token is not one of ours", code="invalid_page_token")
    return last
