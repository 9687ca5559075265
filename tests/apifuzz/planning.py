"""What schemathesis is told: what to send, how much, and which ids and values are worth a try.

Every check of schemathesis is on: no 5xx, no status, media type, header or body that the document does
not name, data that fit accepted and data that do not refused, other methods 405 with the right
``Allow``, no answer without the token, nothing used after its end.
"""

from __future__ import annotations

import string
from typing import Any

from schemathesis.config import SchemathesisConfig
from schemathesis.openapi import from_dict
from schemathesis.schemas import BaseSchema

from tests.apifuzz.world import TOKEN, Known, World

_SECRET = "whsec_" + "A" * 32
_OWN_VALUES: dict[str, list[Any]] = {
    "numbers": [1, 2, 3, 4],
    "backbones": ["pocket", "ViT-B/16", "ViT-B-32", "RN50"],
    "urls": ["https://example.org/hook", "https://example.org:8443/", "http://127.0.0.1:9/x?y=z"],
    "secrets": [_SECRET],
    "tokens": ["0" * 32, "f" * 32, string.hexdigits[:16] * 2],
    "sizes": [1, 2, 1024, 1025, 3000],
    "selectors": [".", "state_dict", "model.pth.tar-1"],
    "preferences": ["wait=0", "wait=30", "respond-async, wait=1"],
}
_BOUND: dict[str, tuple[str, float]] = {
    "path.upload_id": ("uploads", 0.7),
    "path.inspection_id": ("inspections", 0.7),
    "path.endpoint_id": ("endpoints", 0.7),
    "path.delivery_id": ("deliveries", 0.7),
    "path.sha256": ("hashes", 0.6),
    "path.name": ("artifacts", 0.7),
    "path.policy_name": ("policies", 0.7),
    "path.number": ("numbers", 0.8),
    "query.endpoint_id": ("endpoints", 0.5),
    "query.inspection_id": ("inspections", 0.5),
    "query.sha256": ("hashes", 0.5),
    "query.page_token": ("tokens", 0.4),
    "header.prefer": ("preferences", 0.4),
    "body.inspection_id": ("inspections", 0.7),
    "body.backbone": ("backbones", 0.8),
    "body.url": ("urls", 0.7),
    "body.webhook.url": ("urls", 0.8),
    "body.secret": ("secrets", 0.3),
    "body.size": ("sizes", 0.6),
    "body.member": ("selectors", 0.3),
    "body.state": ("selectors", 0.3),
}
"""Where a value of which list is sent, and how often; else it is made up. Fields that exclude one another are not here
(`policy` and `document`, `upload_id` and `sha256`): a list's value would also stand where null was meant."""

_REFUSALS = [400, 401, 404, 405, 409, 413, 415, 422]
"""Of data that do not fit; schemathesis' own list has 403 and 5xx, and lacks 413 for a size too large."""


def schema_of(
    document: dict[str, Any], world: World, seed: int, examples: int, number: int
) -> BaseSchema:
    """The document of a world as one round of requests uses it.

    Round 0 also walks all bounds of the document. Every other round sends no value out of earlier
    answers, so that ids of nothing are sent as well.
    """
    is_first = number == 0
    config: dict[str, Any] = {
        "seed": seed * 1_000_000 + number,
        "base-url": world.url,
        "request-timeout": 30.0,
        "auth": {"openapi": {"token": {"bearer": TOKEN}}},
        "continue-on-failure": True,
        "dictionaries": {
            name: {"values": values} for name, values in _values(world.known).items() if values
        },
        "parameters": {
            where: {"dictionary": name, "probability": probability}
            for where, (name, probability) in _BOUND.items()
        },
        "generation": {
            "mode": "all",
            "max-examples": examples,
            "no-shrink": True,
            "database": "none",
        },
        "phases": {
            "examples": {"enabled": is_first},
            "coverage": {"enabled": is_first},
            "fuzzing": {"extra-data-sources": {"responses": number % 2 == 0}},
        },
        "checks": {"negative_data_rejection": {"expected-statuses": _REFUSALS}},
        "output": {"sanitization": {"enabled": False}},
    }
    return from_dict(document, config=SchemathesisConfig.from_dict(config))


def _values(known: Known) -> dict[str, list[Any]]:
    return _OWN_VALUES | {
        "uploads": known.uploads,
        # One in two has a report.
        "inspections": known.inspections + known.succeeded * 4,
        "endpoints": known.endpoints,
        "deliveries": known.deliveries,
        "hashes": known.hashes,
        "artifacts": known.artifacts,
        "policies": known.policies,
    }
