"""What stands on a page, as a reader and as a machine sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

_VOID = {"meta", "img", "br"}
_UNSEEN = {"style", "title"}
WORD = re.compile(r"[^\s“”,;()]*\d[^\s“”,;()]*")


@dataclass
class Seen(HTMLParser):
    """`texts`: every text with the elements around it, innermost last; `ids`: text below each id."""

    texts: list[tuple[list[tuple[str, dict[str, str]]], str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[tuple[str, dict[str, str]]] = []

    @classmethod
    def of(cls, page: str) -> Seen:
        seen = cls()
        seen.feed(page)
        seen.close()
        assert seen._open == [], "every element is closed"
        return seen

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self._open.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and not _UNSEEN & {tag for tag, _ in self._open}:
            self.texts.append((list(self._open), data))

    def below(self, identifier: str) -> str:
        """All text in the element of that id."""
        return "".join(
            text for around, text in self.texts if any(a.get("id") == identifier for _, a in around)
        )

    @property
    def figures(self) -> Iterator[tuple[str, str]]:
        """Value and text of each figure that is marked as one."""
        for around, text in self.texts:
            tag, attributes = around[-1]
            if tag == "data" or "data-value" in attributes:
                yield attributes.get("value") or attributes["data-value"], text

    @property
    def loose_words(self) -> Iterator[str]:
        """Words with a digit in them that stand in no element for figures or dates."""
        for around, text in self.texts:
            tag, attributes = around[-1]
            if tag not in ("data", "time") and "data-value" not in attributes:
                yield from WORD.findall(text)

    @property
    def dates(self) -> Iterator[tuple[str, str]]:
        for around, text in self.texts:
            if around[-1][0] == "time":
                yield around[-1][1]["datetime"], text


def numbers_in(value: Any) -> Iterator[str]:
    """Every number of a JSON value as JSON writes it."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield json.dumps(value)


def strings_in(value: Any) -> Iterator[str]:
    """Every string of a JSON value, keys too."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from strings_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings_in(one)
    elif isinstance(value, str):
        yield value
