"""Checks a JSON object against the part of JSON Schema that the command's own schema uses.

A whole validator would be one more dependency for nine fields. Knows no field by name; what it does
not implement it refuses, so that a schema never promises more than is checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from inspector.errors import RequestError

_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and value == int(value),
    "number": lambda value: _is_number(value),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
}
_SAYS_NOTHING = {
    "$schema", "title", "description", "default", "technique", "technique_description",
    "suggested_minimum", "suggested_maximum",
}  # fmt: skip
_CHECKED = {
    "type", "required", "additionalProperties", "properties", "items", "minItems", "minLength",
    "pattern", "enum", "minimum", "maximum",
}  # fmt: skip


def check(value: Any, schema: Mapping[str, Any], field: str = "metaparameters") -> None:
    """Raises RequestError that names the field, as in `classes[2]`.

    Raises:
        ValueError: the schema has a keyword that is not implemented; a bug of ours.
    """
    if unknown := set(schema) - _SAYS_NOTHING - _CHECKED:
        raise ValueError(f"keywords that are not implemented: {sorted(unknown)}")
    if not _TYPES[schema["type"]](value):
        raise RequestError(field, f"must be of type {schema['type']}")
    if "enum" in schema and value not in schema["enum"]:
        raise RequestError(field, f"{value!r} is not one of {', '.join(schema['enum'])}")
    if "minimum" in schema and value < schema["minimum"]:
        raise RequestError(field, f"must be at least {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        raise RequestError(field, f"must be at most {schema['maximum']}")
    if "minLength" in schema and len(value) < schema["minLength"]:
        raise RequestError(field, "must not be empty")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        raise RequestError(field, f"must match {schema['pattern']}")
    if schema["type"] == "array":
        _check_array(value, schema, field)
    if schema["type"] == "object":
        _check_object(value, schema, field)


def _check_array(values: list[Any], schema: Mapping[str, Any], field: str) -> None:
    if len(values) < schema.get("minItems", 0):
        raise RequestError(field, f"must have at least {schema['minItems']} items")
    for index, value in enumerate(values):
        check(value, schema["items"], f"{field}[{index}]")


def _check_object(values: Mapping[str, Any], schema: Mapping[str, Any], field: str) -> None:
    known = schema.get("properties", {})
    prefix = "" if field == "metaparameters" else f"{field}."
    for name in schema.get("required", ()):
        if name not in values:
            raise RequestError(prefix + name, "is missing")
    for name, value in values.items():
        if name in known:
            check(value, known[name], prefix + name)
        elif not schema.get("additionalProperties", True):
            raise RequestError(prefix + name, f"is not one of {', '.join(known)}")


def _is_number(value: Any) -> bool:
    """Whether it is a finite number; Python's JSON knows infinity and takes True for 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
