"""Text and figures of a report as they may stand on a page. Everything in a report is hostile.

A class or file name may hold what turns the line around or hides a part of it; a figure may be no
number. What is shown of a figure is rounded, and its element keeps the whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from markupsafe import Markup

MISSING = Markup('<span class="missing">–</span>')
_LONGEST = 2000
_FORMS: dict[str, Callable[[float], str]] = {
    "fine share": lambda value: f"{100 * value:.1f} %",
    "share": lambda value: _percent(100 * value),
    "score": lambda value: f"{value:.2f}",
    "p": lambda value: f"{value:.3f}",
    "count": lambda value: f"{value:.0f}",
    "seconds": lambda value: f"{value:.0f} s",
}
"""How a figure is rounded, by what it is."""


def _percent(value: float) -> str:
    digits = 1 if 0 < abs(value) < 0.95 or 99 < abs(value) < 100 else 0
    return f"{value:.{digits}f} %".replace("-0 %", "0 %")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a finite number; JSON's true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def rounded(value: float, form: str) -> str:
    """The text of a figure; minus signs are typographic ones."""
    return _FORMS[form](value).replace("-", "−")


def figure(value: Any, form: str = "score") -> Markup:
    """A figure of the report: rounded for the eye, whole in its ``value``; a dash for none."""
    if not is_number(value):
        return MISSING
    return Markup('<data value="{}">{}</data>').format(json.dumps(value), rounded(value, form))


def yes_or_no(value: object) -> Markup | str:
    """JSON's true and false in words; a dash for anything else."""
    return ("yes" if value else "no") if isinstance(value, bool) else MISSING


def shown(text: object) -> str:
    """Text of a report with what cannot be seen made visible, cut where nobody would read on."""
    whole = str(text)
    visible = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in whole[:_LONGEST]
    )
    return visible + "…" * (len(whole) > _LONGEST)


def short(text: object, length: int = 60) -> str:
    """The beginning of a text, where there is no room for all of it."""
    whole = shown(text)
    return whole if len(whole) <= length else f"{whole[: length - 1]}…"


def as_sentence(text: object, length: int = 240) -> str:
    """A message as a sentence of its own."""
    told = short(text, length).strip()
    return told[:1].upper() + told[1:] + ("" if told.endswith((".", "?", "!", "…")) else ".")


def say(sentence: str, **values: object) -> Markup:
    """A sentence of ours with values of a report in it, escaped."""
    return Markup(sentence).format(
        **{
            name: value if isinstance(value, Markup) else shown(value)
            for name, value in values.items()
        }
    )


def quoted(name: object, length: int = 48) -> Markup:
    """A name of a report, in quotation marks and unable to reorder what stands around it."""
    return Markup("<bdi>“{}”</bdi>").format(short(name, length))


def table(value: object) -> Mapping[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def rows(value: object) -> list[Mapping[str, Any]]:
    """The objects in a JSON array; none for anything else."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []
