"""A second world on another database that gets every request too and must answer alike.

Both begin with the same rows. What they make later has other ids, so the digits of an id that one
answered are replaced by those that the other did.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

import requests
from schemathesis.core.transport import Response

from tests.apifuzz.world import World

_DIGITS = re.compile(r"[0-9a-f]{32}")
_ALIKE = ("content-type", "allow", "www-authenticate", "retry-after")
"""Headers that do not depend on ids or bytes."""


class Twin:
    """Sends again, compares, and remembers which id is which."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._session = requests.Session()
        self._session.trust_env = False
        self._names: dict[str, str] = {}

    def difference(self, answer: Response) -> str | None:
        """None if the other world answers the same request alike; else both answers in a line."""
        try:
            other = self._session.send(
                self._translated(answer.request), timeout=30, allow_redirects=False
            )
        except requests.RequestException as error:
            return f"{answer.status_code} here, {error!r} on {self._world.kind}"
        ours = [answer.status_code, *(answer.headers.get(name, [""])[0] for name in _ALIKE)]
        theirs = [other.status_code, *(other.headers.get(name, "") for name in _ALIKE)]
        if answer.request.method == "POST" and other.ok:
            self._learn(answer.text_lossy(), other.text)
        if other.ok and urlsplit(answer.request.url or "").path == "/v1/deliveries":
            self._learn_deliveries(answer.text_lossy(), other.text)
        if ours == theirs:
            return None
        return f"{ours} here, {theirs} on {self._world.kind}: {other.text[:300]}"

    def _translated(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        copy = request.copy()
        place, ours = urlsplit(self._world.url), urlsplit(request.url or "")
        head = f"{ours.scheme}://{ours.netloc}"
        assert copy.url is not None
        copy.url = f"{place.scheme}://{place.netloc}" + self._renamed(copy.url.removeprefix(head))
        if isinstance(copy.body, bytes):
            body = copy.body.decode("latin-1")
            copy.body = self._renamed(body).encode("latin-1")
        elif isinstance(copy.body, str):
            copy.body = self._renamed(copy.body)
        return copy

    def _renamed(self, text: str) -> str:
        return _DIGITS.sub(lambda found: self._names.get(found[0], found[0]), text)

    def _learn_deliveries(self, ours: str, theirs: str) -> None:
        """What no answer to a POST names: the deliveries of an event, in any order."""
        there = {_subject(one): one for one in _items(theirs)}
        for here in _items(ours):
            other = there.get(self._renamed(_subject(here)))
            if other is not None:
                self._names |= {
                    _DIGITS.findall(here[name])[0]: _DIGITS.findall(other[name])[0]
                    for name in ("id", "event_id")
                }

    def _learn(self, ours: str, theirs: str) -> None:
        here, there = _DIGITS.findall(ours), _DIGITS.findall(theirs)
        if len(here) == len(there):
            self._names |= dict(zip(here, there, strict=True))


def _items(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["items"]
    return found


def _subject(delivery: dict[str, Any]) -> str:
    return f"{delivery['endpoint_id']} {delivery['inspection_id']} {delivery['event_type']}"
