"""Files of ours: how they are written, hashed and read. Standard library only.

Hostile files are `inspector.checkpoint`'s; what is read here was written by the user or by us.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


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
