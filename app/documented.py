"""How a route says which problems it answers with. Knows no route."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict

PROBLEM = "application/problem+json"


class Problem(BaseModel):
    """An RFC 9457 problem document. ``code`` is stable; ``detail`` is for people and may change."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str | None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses`` of a route: these statuses, each with a problem document."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM: {"schema": schema}},
        }
        for status in statuses
    }
