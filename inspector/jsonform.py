"""What a JSON value says that its schema does not allow, told by the field. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import ValidationError


def problem_of(value: object, schema: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first problem as (field, message), None where there is none.

    Fields are told as in `classes[2]` and `backbone.mean`, the value as a whole as an empty one.
    """
    # Not above: most commands need not wait for it.
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft7Validator(schema).iter_errors(value))
    return None if error is None else (_field(error), str(error.message))


def _field(error: ValidationError) -> str:
    """Where the error lies; a missing or unknown field is named itself."""
    path = str(error.json_path)
    if error.validator == "required":
        path += "." + next(name for name in error.validator_value if name not in error.instance)
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        path += "." + next(name for name in error.instance if name not in known)
    return path.removeprefix("$").removeprefix(".")
