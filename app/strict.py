"""What every route asks of a request before its endpoint runs: known query keys, storable JSON.

JSON here is I-JSON (RFC 7493): UTF-8, no NaN, no infinity, also not by overflow (``1e400``), no
number beyond 64 bits, no lone surrogate; besides, no NUL and no deep nesting. What passes is stored
and read alike by SQLite and PostgreSQL, so that both give the same answer. Knows no domain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app.errors import Unprocessable, UnsupportedMediaType

MAX_DEPTH = 32
"""Of JSON; an honest manifest has five levels."""
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_LONGEST_INTEGER = len(str(_LOWEST))
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
STORABLE = "Json"
STORABLE_REF = {"$ref": f"#/components/schemas/{STORABLE}"}
STORABLE_SCHEMA: dict[str, Any] = {
    "description": f"Any JSON that can be kept, nested at most {MAX_DEPTH} deep with what it lies "
    "in.",
    "anyOf": [
        {"type": ["null", "boolean"]},
        {"type": "number", "minimum": _LOWEST, "maximum": _HIGHEST},
        {"type": "string", "pattern": r"^[^\x00]*$"},
        {"type": "array", "items": STORABLE_REF},
        {
            "type": "object",
            "additionalProperties": STORABLE_REF,
            "propertyNames": {"pattern": r"^[^\x00]*$"},
        },
    ],
}
"""What :func:`parse_json` lets through, for the API's document."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route that refuses what its endpoint would overlook."""

    def get_route_handler(self) -> Handler:
        """FastAPI's handler behind the checks of query and body."""
        answer = super().get_route_handler()
        known = frozenset(_query_keys(self.dependant))
        takes_json = self.body_field is not None

        async def strict(request: Request) -> Response:
            check_query(request.query_params.multi_items(), known)
            if takes_json:
                await _check_body(request)
            return await answer(request)

        return strict


def invalid(location: Iterable[object], message: str) -> Unprocessable:
    """A request that does not match, told as a schema's violation is."""
    return Unprocessable(
        "the request does not match the schema",
        code="invalid_request",
        extra={"errors": [{"location": [shown(part) for part in location], "message": message}]},
    )


def shown(text: object) -> str:
    """What a caller sent, short and fit to be sent back."""
    return str(text)[:100].encode("utf-8", "backslashreplace").decode()


def declared_length(headers: Mapping[str, str]) -> int | None:
    """``Content-Length`` where it is a number."""
    given = headers.get("content-length", "")
    return int(given) if _LENGTH.fullmatch(given) else None


def check_query(items: list[tuple[str, str]], known: frozenset[str]) -> None:
    """Raises ``Unprocessable`` for a key that means nothing here, or control characters."""
    for key, value in items:
        if key not in known:
            may = f"; known are {', '.join(sorted(known))}" if known else ""
            raise invalid(["query", key], f"unknown query key{may}")
        if CONTROL.search(value):
            raise invalid(["query", key], "control characters are not allowed")


def parse_json(body: bytes) -> Any:
    """Raises ``Unprocessable`` for what is no JSON, or JSON that cannot be kept."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_short,
        )
    except RecursionError:
        raise invalid(["body"], f"nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeDecodeError:
        raise invalid(["body"], "the body is not UTF-8") from None
    except ValueError as error:
        raise invalid(["body"], f"no JSON: {error}") from None
    _check_value(value)
    return value


async def _check_body(request: Request) -> None:
    body = await request.body()
    if not body:
        return
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not re.fullmatch(r"application/([^/]+\+)?json", media_type):
        raise UnsupportedMediaType("send the body as application/json")
    # Starlette keeps a parsed body here; FastAPI then does not parse it by its own, laxer rules.
    request._json = await run_in_threadpool(parse_json, body)


def _check_value(value: Any) -> None:
    # A list around it, so that a body which is one string is looked at like any other.
    waiting: list[tuple[tuple[object, ...], Any]] = [((), [value])]
    while waiting:
        path, item = waiting.pop()
        if len(path) > MAX_DEPTH:
            raise invalid(["body", *path[1:6], "…"], f"nested deeper than {MAX_DEPTH} levels")
        for key, inner in _members(item):
            if _is_unstorable(key) or _is_unstorable(inner):
                raise invalid(
                    ["body", *path[1:], key], "text holds NUL or half of a surrogate pair"
                )
            if inner and isinstance(inner, dict | list):
                waiting.append(((*path, key), inner))


def _members(value: Any) -> Iterable[tuple[object, Any]]:
    return value.items() if isinstance(value, dict) else enumerate(value)


def _is_unstorable(value: object) -> bool:
    return isinstance(value, str) and _UNSTORABLE.search(value) is not None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not _LOWEST <= value < _HIGHEST:
        raise ValueError(f"{text[:40]} is out of range")
    return value


def _short(text: str) -> int:
    if len(text) > _LONGEST_INTEGER or not _LOWEST <= int(text) <= _HIGHEST:
        raise ValueError(f"{text[:40]} is out of range")
    return int(text)


def _query_keys(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from kind.model_fields
        else:
            yield field.alias
    for inner in dependant.dependencies:
        yield from _query_keys(inner)
