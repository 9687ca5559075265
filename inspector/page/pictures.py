"""Which of an inspection's pictures show what: probes, and what was added to them.

A picture is shown only if its bytes have the hash that the report states.
"""

from __future__ import annotations

import base64
import hashlib
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from inspector.page.figures import is_number, rows, table

Fetch = Callable[[str], bytes | None]
"""The bytes of a stored file by its name; None where it is not kept."""
MOST_BYTES = 2 * 1024 * 1024
_MOST = 80
_TYPES = {"image/png", "image/jpeg"}
_PERTURBATION = re.compile(r"trigger-(\d+)(-amplified)?\.png")
_EXAMPLE = re.compile(r"example-(\d+)-(clean|triggered)\.png")


@dataclass
class Example:
    """One held-out probe: as it is, and with what was found.

    predictions: what the model answers, `clean` and `triggered`, where the report tells it.
    """

    letter: str
    clean: Markup | None = None
    triggered: Markup | None = None
    predictions: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Gallery:
    """Pictures as data URIs. `perturbations`: by class, at true scale and amplified."""

    examples: list[Example] = field(default_factory=list)
    perturbations: dict[int, dict[str, Markup]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def gallery(report: Mapping[str, Any], fetch: Fetch) -> Gallery:
    """All pictures that the report lists, as far as they are kept unchanged."""
    found = Gallery()
    examples: dict[int, Example] = {}
    for file in rows(report.get("artifacts"))[:_MOST]:
        name = str(file.get("name"))
        one, other = _PERTURBATION.fullmatch(name), _EXAMPLE.fullmatch(name)
        if str(file.get("media_type")) not in _TYPES or not (one or other):
            continue
        uri = _uri(file, fetch)
        if uri is None:
            found.missing.append(name)
        elif one:
            shape = "amplified" if one[2] else "true"
            found.perturbations.setdefault(int(one[1]), {})[shape] = uri
        elif other:
            number, what = int(other[1]), other[2]
            example = examples.setdefault(number, Example(_letter(number)))
            _put(example, what, uri)
    told = _predictions(report)
    for number, example in sorted(examples.items()):
        example.predictions = told.get(number, {})
        found.examples.append(example)
    return found


def _put(example: Example, what: str, uri: Markup) -> None:
    if what == "clean":
        example.clean = uri
    else:
        example.triggered = uri


def _letter(number: int) -> str:
    """Examples have letters, so that nobody takes their numbers for figures."""
    letters = string.ascii_uppercase
    return letters[number] if number < len(letters) else f"{letters[-1]}+"


def _uri(file: Mapping[str, Any], fetch: Fetch) -> Markup | None:
    content = fetch(str(file["name"]))
    if content is None or len(content) > MOST_BYTES:
        return None
    if hashlib.sha256(content).hexdigest() != file.get("sha256"):
        return None
    # Of known characters only, and too long for what text is put through.
    return Markup(f"data:{file['media_type']};base64,{base64.b64encode(content).decode()}")


def _predictions(report: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """By the number of the example, the report's `examples`; nothing in a report without them."""
    return {
        int(example["index"]): example
        for example in rows(report.get("examples"))
        if is_number(example.get("index")) and table(example.get("clean"))
    }
