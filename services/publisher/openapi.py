"""The OpenAPI 3.1 page, built from the operations that are served and the types that answers are made of."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct

from services.publisher import events
from services.publisher.events import ANY_EVENT, EVENTS
from services.publisher.operations import Operation, Parameter
from services.publisher.problems import ProblemBody
from services.publisher.responses import JSON, REF, content, header_components, is_kept, responses

_BRACED = re.compile(r"{(\w+)}")
PLACES = {
    "org": "The platform's id of the org.",
    "address": "The mailbox's address or id.",
    "webhook": "The webhook's id.",
    "feed": "The feed's id.",
    "secret": "The feed's secret word.",
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the page as JSON values."""
    _, schemas = msgspec.json.schema_components(_types(operations), ref_template=REF)
    page = {
        "openapi": "3.1.0",
        "info": {
            "title": "Busyline",
            "version": version("busyline"),
            "summary": "When the people of an organisation are free and when they are busy.",
            "description": "Instants are RFC 3339 in UTC; intervals are half-open, [from, to). Time that is not "
            "covered, or of which nothing is known, is an error and never an empty list.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "tags": [{"name": name} for name in dict.fromkeys(each.group for each in operations)],
        "paths": _paths(operations),
        "components": {
            "schemas": schemas | events.schemas(REF) | {ANY_EVENT: _any_event()},
            "headers": header_components(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "A consumer's token."}},
        },
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(page))  # defaults in schemas are tuples
    return plain


def _any_event() -> dict[str, Any]:
    places = {kind: REF.format(name=event.__name__) for kind, event in EVENTS.items()}
    return {
        "title": ANY_EVENT,
        "description": "Any event; its `type` says which.",
        "oneOf": [{"$ref": place} for place in places.values()],
        "discriminator": {"propertyName": "type", "mapping": places},
    }


def _types(operations: Sequence[Operation]) -> list[type[Struct]]:
    found = [kind for each in operations for kind in (each.takes, each.answers) if kind is not None]
    return [*dict.fromkeys(found), ProblemBody]


def _paths(operations: Sequence[Operation]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return paths


def _operation(each: Operation) -> dict[str, Any]:
    page: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary,
        "tags": [each.group],
        "parameters": [*map(_path, _BRACED.findall(each.path)), *map(_query, each.query), *_conditions(each)],
        "responses": responses(each),
    }
    if each.description:
        page["description"] = each.description
    if each.takes is not None:
        page["requestBody"] = {"required": True, "content": content(JSON, each.takes)}
    if each.open:
        page["security"] = []
    return page


def _query(each: Parameter) -> dict[str, Any]:
    schema = {"type": "array", "items": each.schema} if each.repeatable else each.schema
    return {"name": each.name, "in": "query", "description": each.description, "schema": schema}


def _conditions(each: Operation) -> list[dict[str, Any]]:
    words = "The `ETag` of an answer held already: where it still is the answer, 304 comes without it."
    schema = {"type": "string"}
    return [{"name": "If-None-Match", "in": "header", "description": words, "schema": schema}] if is_kept(each) else []


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": PLACES[name], "schema": {"type": "string"}}
