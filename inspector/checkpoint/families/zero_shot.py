"""Zero-shot prompts: no tensors at all, only templates and class names in a JSON file.

The JSON, as the reader found it, is the one canonical tensor (U8). It is parsed where manifests
are. One template, or several whose text features are averaged. Source: KaiyangZhou/CoOp
``trainers/zsclip.py`` (ZeroshotCLIP, ZeroshotCLIP2).
"""

from __future__ import annotations

import json

from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Parts, Tensors
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.reading import Scalar
from inspector.errors import LimitExceeded, UnsupportedFormat

STATEMENT = "prompts.json"
_METHODS = ("zeroshotclip", "zeroshotclip2")


def check_statement(raw: bytes, limits: Limits) -> None:
    """That ``raw`` is a JSON object which states zero-shot prompts, not the manifest of a model.

    Raises:
        LimitExceeded: more than ``limits.string_bytes``.
        UnsupportedFormat: anything else.
    """
    if len(raw) > limits.string_bytes:
        raise LimitExceeded("bytes of prompts", limits.string_bytes, len(raw))
    try:
        stated = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnsupportedFormat("not-a-checkpoint", "begins as JSON and is none") from error
    if not isinstance(stated, dict):
        raise UnsupportedFormat("not-a-checkpoint", "JSON, but no object")
    method = stated.get("method")
    if method is None and {"templates", "classnames"} <= stated.keys():
        return
    plain = "".join(filter(str.isalnum, str(method).lower()))
    if plain not in _METHODS:
        raise UnsupportedFormat(
            "not-a-checkpoint",
            f"JSON that states no zero-shot prompts (method {str(method)[:40]!a}) is no model",
        )


def _options(shapes: Shapes) -> dict[str, Scalar]:
    expect(shapes, STATEMENT, (None,))
    return {}


def _parts(tensors: Tensors) -> Parts:
    return Parts(statement=bytes(tensors[STATEMENT].tolist()))


FAMILY = Family(
    name="ZeroshotCLIP",
    aliases=("ZeroshotCLIP2",),
    required=frozenset({STATEMENT}),
    optional=frozenset(),
    options=_options,
    parts=_parts,
    beside=frozenset({STATEMENT}),
)
