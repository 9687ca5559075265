"""How a route says which problems it answers with. Knows no route."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict

PROBLEM = "application/problem+json"
BYTES = {"schema": {"type": "string", "format": "binary"}}
"""Content that is no text, as OpenAPI has it."""

_ABOUT_HEADERS = {
    "Content-Disposition": "A file to save, and its name.",
    "ETag": "SHA-256 of the bytes, in quotes.",
    "Location": "Where it is from now on.",
    "Retry-After": "Seconds to wait before asking again.",
    "WWW-Authenticate": "How to say who asks (RFC 6750).",
    "X-Request-ID": "The one that was sent if it is a sane one, else a new one; quote it in "
    "reports.",
}


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


def carries(
    status: int,
    *always: str,
    sometimes: tuple[str, ...] = (),
    content: dict[str, Any] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """For ``responses`` of a route: this answer's headers, and what else than JSON it holds."""
    told = {name: header(name, is_required=name in always) for name in (*always, *sometimes)}
    return {status: {"headers": told} | ({"content": content} if content else {})}


def header(name: str, *, is_required: bool) -> dict[str, Any]:
    """One header of an answer, as OpenAPI has it."""
    return {
        "description": _ABOUT_HEADERS[name],
        "required": is_required,
        "schema": {"type": "string"},
    }


def problems(*statuses: int, is_page: bool = False) -> dict[int | str, dict[str, Any]]:
    """For ``responses`` of a route: these statuses, each with a problem document.

    Args:
        is_page: people open the route, too, and are told the same as HTML.
    """
    content: dict[str, Any] = {
        PROBLEM: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}
    }
    if is_page:
        content["text/html"] = {"schema": {"type": "string"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": dict(content)}
        for status in statuses
    }
