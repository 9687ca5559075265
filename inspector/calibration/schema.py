"""The JSON schema of a calibration's file."""

from __future__ import annotations

from typing import Any, Literal

SCHEMA = "clipvet-calibration/2"
FEWEST = 5
"""Scores below which a file is refused: the smallest p-value would be above 0.16."""

Kind = Literal["conditioned", "static"]
Method = Literal["CoCoOp", "CoOp"]
KINDS: dict[Method, Kind] = {"CoCoOp": "conditioned", "CoOp": "static"}


def _object(**properties: Any) -> dict[str, Any]:
    """All of these and nothing else."""
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }


_TEXT = {"type": "string", "minLength": 1}
_FINITE = {"type": "number", "minimum": -1e300, "maximum": 1e300}
_COUNT = {"type": "integer", "minimum": 2}
_TRIPLE = {"type": "array", "items": _FINITE, "minItems": 3, "maxItems": 3}
FORM = _object(
    schema={"const": SCHEMA},
    id=_TEXT,
    engine=_TEXT,
    statistic=_TEXT,
    backbone=_object(sha256=_TEXT, mean=_TRIPLE, std=_TRIPLE),
    method={"enum": list(KINDS)},
    kind={"enum": list(KINDS.values())},
    classes=_object(count=_COUNT, sha256=_TEXT),
    class_counts={"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2},
    profile=_TEXT,
    probes=_TEXT,
    pictures={"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    seed={"type": "integer", "minimum": 0},
    recipes={"type": "array", "items": {"type": "object"}},
    scores={"type": "array", "items": _FINITE, "minItems": FEWEST},
)
"""Of kind and method only that each is known; that they fit is the reader's to check."""
