"""Files of ours: how they are written, hashed, read and held against a schema.

Hostile files are `inspector.checkpoint`'s; what is read here was written by the user or by us.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import ValidationError


def write_whole(path: Path, text: str) -> None:
    """Write all of `text` or nothing: whoever is stopped leaves the older file or none.

    Folders above it are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, whole.

    Raises:
        ValueError: it holds NaN or infinity.
    """
    write_whole(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """Of the bytes of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """The value of a file, as the standard has it: NaN and infinity are none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or nested too deeply; the message names no path.
    """
    try:
        return json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    except RecursionError as problem:
        raise ValueError("it is nested too deeply") from problem


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def listed_names(text: str) -> list[str]:
    """Names of a text file, one a line in label order; blank lines at the end are ignored.

    Raises:
        ValueError: no name, or an empty line between names (a label would shift).
    """
    names = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ValueError("the list is empty")
    if "" in names:
        raise ValueError(f"line {names.index('') + 1} is empty; labels would shift")
    return names


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
