"""``/docs``: the OpenAPI document as one page to read, without script and without other servers."""

from __future__ import annotations

from typing import Any

from app.description.document import operations
from app.html import pages_of, policy_of

_pages = pages_of("app.description", "docs.css")

HEADERS = {
    "Content-Security-Policy": policy_of(_pages.style),
}


def render(document: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    listed = [
        {
            "path": path,
            "method": method.upper(),
            "is_open": operation["security"] == [],
            "text": operation.get("description") or operation.get("summary", ""),
            "parameters": [
                parameter | {"type": type_of(parameter["schema"])}
                for parameter in operation.get("parameters", [])
            ],
            "body": _content(operation.get("requestBody", {})),
            "responses": [
                (status, answer["description"], _content(answer))
                for status, answer in operation["responses"].items()
            ],
        }
        for path, method, operation in operations(document)
    ]
    schemas = [
        (name, schema.get("description", ""), _fields(schema))
        for name, schema in document["components"]["schemas"].items()
    ]
    return _pages.templates.get_template("docs.html").render(
        info=document["info"], style=_pages.style, operations=listed, schemas=schemas
    )


def type_of(schema: dict[str, Any]) -> str:
    """A schema in a few words: ``integer from 1 to 200``, ``list of EventView``, ``a | b``."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(type_of(inner) for inner in schema["anyOf"])
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return " | ".join(map(repr, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    words = [schema.get("format") or schema.get("type") or "any"]
    bounds = {
        "minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "minLength": "min length",
        "maxLength": "max length", "pattern": "like",
    }  # fmt: skip
    words += [f"{word} {schema[key]}" for key, word in bounds.items() if key in schema]
    return " ".join(words)


def _content(holder: dict[str, Any]) -> str:
    shown = []
    for media_type, value in holder.get("content", {}).items():
        schema = value.get("schema") or {}
        shown.append(f"{media_type}: {type_of(schema)}" if schema else media_type)
    return ", ".join(shown)


def _fields(schema: dict[str, Any]) -> list[tuple[str, str, bool, str]]:
    required = schema.get("required", ())
    return [
        (name, type_of(field), name in required, field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]
