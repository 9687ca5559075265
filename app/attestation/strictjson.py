"""JSON in which one text has one meaning, read within limits. Knows no shape.

A verifier that takes the last of two equal keys, and a reader that takes the first, would see two
verdicts under one signature; so such a text is refused, as are NaN, infinity and deep nesting.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

Json = dict[str, Any]

MAX_DEPTH = 40


class NotStrict(ValueError):
    """The text is no JSON object, or one that two readers may understand differently."""


def encode(value: Json) -> bytes:
    """The one form in which we sign and publish: sorted keys, no spaces, ASCII.

    In ASCII, because a name in a hostile file may hold half of a surrogate pair.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def parse_object(data: bytes) -> Json:
    """Raises ``NotStrict``."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise NotStrict(f"no JSON: {str(error)[:120]}") from None
    if not isinstance(value, dict):
        raise NotStrict("no JSON object")
    if _is_deep(value):
        raise NotStrict(f"nested deeper than {MAX_DEPTH} levels")
    return value


def text(holder: Json, key: str) -> str:
    """A string that must be there. Raises ``NotStrict``."""
    value = holder.get(key)
    if not isinstance(value, str):
        raise NotStrict(f"{key} must be a string")
    return value


def optional_text(holder: Json, key: str) -> str | None:
    """The same, where null and nothing are allowed, too."""
    return None if holder.get(key) is None else text(holder, key)


def inner(holder: Json, key: str) -> Json:
    """An object that must be there. Raises ``NotStrict``."""
    value = holder.get(key)
    if not isinstance(value, dict):
        raise NotStrict(f"{key} must be an object")
    return value


def objects(holder: Json, key: str) -> list[Json]:
    """A list of objects that must be there. Raises ``NotStrict``."""
    value = holder.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise NotStrict(f"{key} must be a list of objects")
    return value


def part(holder: Json, key: str) -> Json:
    """An object; empty where something else or nothing is there."""
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def rows(holder: Json, key: str) -> list[Json]:
    """The objects of a list; none where something else or nothing is there."""
    value = holder.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _is_deep(value: object) -> bool:
    waiting = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return True
        if isinstance(item, dict | list):
            members = item.values() if isinstance(item, dict) else item
            waiting += [(one, depth + 1) for one in members]
    return False
