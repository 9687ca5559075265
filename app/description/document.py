"""The OpenAPI document: FastAPI's, with every problem that a route may answer and who may ask.

What follows from a route's form is added here (a path with a parameter may be 404, a JSON body too
large); what only its endpoint knows stands in its own ``responses`` (``app.documented``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from app.description.links import links_of
from app.documented import PROBLEM, Problem, header, problems
from app.gate import OPEN_PATHS
from app.problems import is_page
from app.strict import STORABLE, STORABLE_SCHEMA

Json = dict[str, Any]

_SCHEME = "token"
_ABOUT = (
    "Errors are problem documents (RFC 9457) with a stable `code`. Every path that answers GET "
    "answers HEAD; any other method is 405 with `Allow`. Links begin with a slash unless the "
    "operator has set a public URL."
)
_OF_FASTAPI = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI, *, needs_token: bool, max_upload_bytes: int) -> Json:
    """The document of all routes of ``app``, with the settings that a caller meets."""
    document = FastAPI.openapi(app)
    document["info"]["description"] = _ABOUT
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _OF_FASTAPI:
        schemas.pop(name, None)
    schemas[Problem.__name__] = Problem.model_json_schema()
    schemas[STORABLE] = STORABLE_SCHEMA
    schemas["UploadCreate"]["properties"]["size"]["maximum"] = max_upload_bytes
    components["securitySchemes"] = {_SCHEME: {"type": "http", "scheme": "bearer"}}
    for path, method, operation in operations(document):
        is_open = path in OPEN_PATHS
        operation["security"] = _security(is_open, needs_token)
        others = _statuses(path, method, operation, is_open)
        for status, answer in problems(*others, is_page=is_page(path)).items():
            if str(status) not in operation["responses"] or status == 422:
                operation["responses"][str(status)] = answer
        operation["responses"] = dict(sorted(operation["responses"].items()))
        for status, answer in operation["responses"].items():
            _lead_on(answer, operation["operationId"], status)
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method in lower case, operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _lead_on(answer: Json, operation_id: str, status: str) -> None:
    """What an answer carries besides its body: headers, and links to what may be asked next."""
    always = ["X-Request-ID"]
    if status == "401":
        always.append("WWW-Authenticate")
    if status == "503" and PROBLEM in answer["content"]:
        always.append("Retry-After")
    told = {name: header(name, is_required=True) for name in always}
    answer["headers"] = answer.get("headers", {}) | told
    links = links_of(operation_id, status)
    if links:
        answer["links"] = links


def _security(is_open: bool, needs_token: bool) -> list[Json]:
    if is_open:
        return []
    return [{_SCHEME: []}] if needs_token else [{}, {_SCHEME: []}]


def _statuses(path: str, method: str, operation: Json, is_open: bool) -> Iterator[int]:
    # 408: any request may be too slow. 422: unknown query keys are refused everywhere. 500 is
    # promised nowhere, and yet has a form.
    yield from (408, 422, 500)
    if not is_open:
        yield from (401, 503)
    if "{" in path:
        yield 404
    if method != "get":
        yield 409
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        yield from (413, 415)
