"""The OpenAPI 3.1 page, built from the operations that are served and the types that answers are made of."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct

from services.publisher.operations import Operation, Parameter
from services.publisher.problems import MEDIA_TYPE, ProblemBody

_REF = "#/components/schemas/{name}"
_BRACED = re.compile(r"{(\w+)}")
PLACES = {
    "org": "The platform's id of the org.",
    "address": "The mailbox's address or id.",
    "webhook": "The webhook's id.",
    "feed": "The feed's id.",
    "secret": "The feed's secret word.",
}
_ERRORS = {
    400: "The body is not JSON.",
    401: "A valid bearer token is needed.",
    404: "There is no such thing within the token's scope.",
    406: "No media type asked for can be given.",
    409: "It cannot be answered as things stand; `code` and `reason` say why.",
    410: "What was asked for is gone; `code` says what to do.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not application/json.",
    422: "A parameter is wrong, or the time asked for is not covered; `field` or `window` says more.",
    429: "Too many requests; `Retry-After` says when to ask again.",
    500: "A fault of the service.",
    503: "The service cannot reach its database; try again.",
}
_ALWAYS = (422, 429, 500, 503)
_WITH_TOKEN = (401,)
_WITH_BODY = (400, 413, 415)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the page as JSON values."""
    _, schemas = msgspec.json.schema_components(_types(operations), ref_template=_REF)
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
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "A consumer's token."}},
        },
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(page))  # defaults in schemas are tuples
    return plain


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
        "parameters": [*map(_path, _BRACED.findall(each.path)), *map(_query, each.query)],
        "responses": {str(each.status): _good(each)} | _problems(each),
    }
    if each.description:
        page["description"] = each.description
    if each.takes is not None:
        page["requestBody"] = {"required": True, "content": _content("application/json", each.takes)}
    if each.open:
        page["security"] = []
    return page


def _good(each: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {} if each.answers is None else _content("application/json", each.answers)
    for media_type, words in each.media.items():
        content[media_type] = {"schema": {"type": "string", "description": words}}
    return {"description": f"{each.summary}."} | ({"content": content} if content else {})


def _problems(each: Operation) -> dict[str, Any]:
    statuses = {*_ALWAYS, *each.problems} | (set() if each.open else set(_WITH_TOKEN))
    statuses |= set(_WITH_BODY) if each.takes is not None else set()
    return {
        str(status): {"description": _ERRORS[status], "content": _content(MEDIA_TYPE, ProblemBody)}
        for status in sorted(statuses)
    }


def _content(media_type: str, kind: type[Struct]) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REF.format(name=kind.__name__)}}}


def _query(each: Parameter) -> dict[str, Any]:
    schema = {"type": "array", "items": each.schema} if each.repeatable else each.schema
    return {"name": each.name, "in": "query", "description": each.description, "schema": schema}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": PLACES[name], "schema": {"type": "string"}}
