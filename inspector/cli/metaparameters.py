"""Checks the metaparameters of `clipvet trojai` against the command's own JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inspector.errors import RequestError

if TYPE_CHECKING:
    from jsonschema import ValidationError

_WHOLE = "metaparameters"


def check(value: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raises RequestError that names the field, as in `classes[2]`."""
    # Not above: the other commands need not wait for it.
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft7Validator(schema).iter_errors(value))
    if error is not None:
        raise RequestError(_field(error), error.message)


def _field(error: ValidationError) -> str:
    """Where the error lies; a missing or unknown field is named itself."""
    if error.validator == "required":
        return str(next(name for name in error.validator_value if name not in error.instance))
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        return str(next(name for name in error.instance if name not in known))
    return str(error.json_path).removeprefix("$.") if error.path else _WHOLE
