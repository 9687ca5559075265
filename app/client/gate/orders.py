"""What is asked for, read from files and words of the command line.

Raises ``ValueError`` with a sentence for whoever typed it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BUILT_IN = "builtin"
"""Probes that every service has."""
PICTURES = {
    "probes": f"neither {BUILT_IN} nor a folder or zip",
    "labelled": "no folder or zip",
    "pairs": "no folder, zip or tar",
}
"""Options that are a path here and an upload there, and what one is not that is not there."""
FORMATS = ("table", "json", "sarif", "junit", "github")
"""How an outcome is told; the modules of this package, and the inspection's own JSON."""


def read_manifest(path: Path) -> dict[str, Any]:
    """A JSON object; raises ``ValueError`` for what is none, ``OSError`` for no file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} is no JSON object")
    return data


def read_classes(path: Path) -> list[str]:
    """Names in label order, one a line; blank lines at the end are ignored.

    Raises:
        ValueError: no name, or an empty line between names (a label would shift).
    """
    names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ValueError(f"{path} names no class")
    if "" in names:
        raise ValueError(f"{path}: line {names.index('') + 1} is empty; labels would shift")
    return names


def stated(classes: Path | None, manifest: Path | None) -> dict[str, Any]:
    """The manifest to send; the names of ``classes`` take the place of its own.

    With neither the service decodes the names from the file.

    Raises:
        ValueError: a file is not what it should be.
        OSError: a file cannot be read.
    """
    data: dict[str, Any] = {"method": "auto"} if manifest is None else read_manifest(manifest)
    if classes is not None:
        data["classnames"] = read_classes(classes)
    return data


def pairs(given: Iterable[str], what: str) -> dict[str, str]:
    """``NAME=VALUE`` each; raises ``ValueError`` for another form, or a name given twice."""
    found: dict[str, str] = {}
    for one in given:
        name, separator, value = one.partition("=")
        if not separator or not name:
            raise ValueError(f"{what} has the form NAME=VALUE, not {one!r:.100}")
        if name in found:
            raise ValueError(f"{what} gives {name!r:.100} twice")
        found[name] = value
    return found


def copies(given: Iterable[str]) -> dict[str, Path]:
    """``FORMAT=FILE`` each: what to write besides."""
    found = pairs(given, "--write")
    for name in found:
        if name not in FORMATS:
            raise ValueError(f"--write knows {', '.join(FORMATS)}, not {name!r:.100}")
    return {name: Path(file) for name, file in found.items()}


def pictures(**given: str | None) -> dict[str, Path]:
    """By option the folder or archive of pictures, where one is given that is not built in.

    Raises ``ValueError`` for what is not there.
    """
    found = {name: Path(one) for name, one in given.items() if one not in (None, BUILT_IN)}
    for name, path in found.items():
        if not path.exists():
            raise ValueError(f"--{name} {str(path)!r:.200} is {PICTURES[name]}")
    return found


def webhook(url: str) -> dict[str, str]:
    """Where to tell; the secret is ``CLIPVET_WEBHOOK_SECRET``, or else one that nobody learns."""
    secret = os.environ.get("CLIPVET_WEBHOOK_SECRET")
    return {"url": url} | ({"secret": secret} if secret else {})
