"""The shape of a JSON value: the paths of all its leaves, and of what type they are."""

from __future__ import annotations

from typing import Any

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def keys_of(value: Any) -> dict[str, str]:
    """From path to type; entries of a list are one path, and what may be several types is told so."""
    found: dict[str, set[str]] = {}
    _walk(value, "", found)
    return {path: " or ".join(sorted(types)) for path, types in sorted(found.items())}


def _walk(value: Any, path: str, found: dict[str, set[str]]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _walk(item, f"{path}.{key}".removeprefix("."), found)
    elif isinstance(value, list) and value:
        for item in value:
            _walk(item, f"{path}[]", found)
    else:
        kind = _TYPES.get(type(value)) or ("empty object" if value == {} else "empty list")
        found.setdefault(path, set()).add(kind)
