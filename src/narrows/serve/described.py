"""What OpenAPI is told of a verb: parameters from the signature, bodies from the model's schema."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_args

from narrows.apps.signatures import Value
from narrows.data.schema import Schema
from narrows.serve.answers import ARROW, JSON, LINES, PNG
from narrows.serve.limits import Limits
from narrows.serve.problems import PROBLEM
from narrows.serve.verbs import Verb

TYPES: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
REFUSALS: Mapping[int, str] = {
    400: "the request, or its body, is not what it says that it is",
    401: "the token is missing or wrong",
    406: "no format that is accepted can be given",
    408: "the request did not come in time",
    413: "the body is too large, or the work for the memory",
    415: "the body is of another format",
    421: "the host named in the request is not this server",
    422: "the data or an option cannot be used; the sentence says why, as the command line would",
    500: "a fault of the server",
    503: "too much to do, or not done in time",
}
PAGE = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}


def operation(verb: Verb, schema: Schema, limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI operation of a verb."""
    answered = {"description": "An answer for each row.", "content": _answers(verb)}
    responses: dict[int | str, Any] = {"200": answered, **refusals()}
    found: dict[str, Any] = {"parameters": [_parameter(value) for value in verb.values()], "responses": responses}
    if verb.takes != "nothing":
        row = _image(schema) if schema.is_image else _row(schema)
        rows: dict[str, Any] = {
            "oneOf": [row, {"type": "array", "items": row, "minItems": 1, "maxItems": limits.max_rows}]
        }
        if schema.is_image:
            rows = {"type": "array", "items": {}, "minItems": 1}
        found["requestBody"] = {
            "required": True,
            "content": {
                JSON: {"schema": rows},
                LINES: {"schema": {"type": "string", "description": "One row of JSON a line."}},
                ARROW: {"schema": {"type": "string", "format": "binary"}},
                **({PNG: {"schema": {"type": "string", "format": "binary"}}} if schema.is_image else {}),
            },
        }
    return found


def operation_of(media: str) -> dict[str, Any]:
    """Return the OpenAPI operation of a route that answers in one format."""
    schema: dict[str, Any] = {} if media == JSON else {"type": "string", "format": "binary"}
    answered = {"description": "What was asked for.", "content": {media: {"schema": schema}}}
    return {"responses": {"200": answered, **refusals()}}


def refusals() -> dict[int | str, dict[str, Any]]:
    """Return the answers that say no."""
    content = {PROBLEM: {"schema": PAGE}}
    return {str(status): {"description": said, "content": content} for status, said in REFUSALS.items()}


def _answers(verb: Verb) -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {JSON: {"schema": {}}, LINES: text, ARROW: binary, PNG: binary}


def _parameter(value: Value) -> dict[str, Any]:
    kind = value.kinds[0]
    schema: dict[str, Any] = {"type": TYPES.get(kind, "string")}
    if words := [word for word in get_args(value.kind) if isinstance(word, str)]:
        schema["enum"] = words
    if value.default not in (None, inspect.Parameter.empty):
        schema["default"] = value.default
    return {"name": value.name, "in": "query", "required": False, "schema": schema, "description": value.text}


def _row(schema: Schema) -> dict[str, Any]:
    """A row of a table: an object by names, or an array in their order."""
    cells: dict[str, Any]
    if schema.columns is not None:
        cells = {
            column.name: {"type": ["string", "number", "boolean", "null"] if column.categories else ["number", "null"]}
            for column in schema.columns
        }
    else:
        names = schema.names or tuple(f"c{place}" for place in range(schema.size))
        cells = {name: {"type": "number"} for name in names}
    array = {"type": "array", "prefixItems": list(cells.values()), "minItems": len(cells), "maxItems": len(cells)}
    return {"oneOf": [{"type": "object", "properties": cells, "required": list(cells)}, array]}


def _image(schema: Schema) -> dict[str, Any]:
    cells: dict[str, Any] = {"type": "number"}
    for side in reversed(schema.user_shape):
        cells = {"type": "array", "items": cells, "minItems": side, "maxItems": side}
    return cells
