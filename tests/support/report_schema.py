"""Whether a report is what `inspector/report.schema.json` says, with no key that it does not know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft7Validator

from inspector.report import SCHEMA

_Keys = dict[str, Any]


@cache
def schema() -> dict[str, Any]:
    """The schema as it stands in the repository."""
    loaded: dict[str, Any] = json.loads(SCHEMA.read_text("utf-8"))
    return loaded


def assert_conforms(report: Mapping[str, Any]) -> None:
    """Raises AssertionError that names every place that differs; an unknown key is one, too."""
    wrong = [f"{e.json_path}: {e.message}" for e in Draft7Validator(schema()).iter_errors(report)]
    wrong += _unknown(report, schema(), "$")
    if wrong:
        raise AssertionError("\n".join(wrong))


def _unknown(value: object, rule: Mapping[str, Any], path: str) -> list[str]:
    """Keys below `value` that the rule does not describe."""
    if isinstance(value, list):
        items = _resolved(rule).get("items", {})
        return [
            line for i, one in enumerate(value) for line in _unknown(one, items, f"{path}[{i}]")
        ]
    if not isinstance(value, dict):
        return []
    known, others = _described(rule)
    found = []
    for key, one in value.items():
        if key in known:
            found += _unknown(one, known[key], f"{path}.{key}")
        elif others is None:
            found.append(f"{path}.{key}: the schema does not know it")
        else:
            found += _unknown(one, others, f"{path}.{key}")
    return found


def _described(rule: Mapping[str, Any]) -> tuple[_Keys, _Keys | None]:
    """Properties of an object by name, through all its parts; and what others may be, None for nothing.

    An object without properties may hold anything.
    """
    rule = _resolved(rule)
    known: _Keys = dict(rule.get("properties", {}))
    for part in (*rule.get("allOf", ()), *rule.get("oneOf", ())):
        known |= _described(part)[0]
    return known, rule.get("additionalProperties", None if known else {})


def _resolved(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = rule.get("$ref")
    if reference is None:
        return rule
    resolved: dict[str, Any] = schema()["definitions"][reference.rpartition("/")[2]]
    return resolved
