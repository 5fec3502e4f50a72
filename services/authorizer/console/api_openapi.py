"""The OpenAPI 3.1 page of the setup API, built from the same table and types that calls are taken and answered with."""

import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Final

import msgspec

from services.authorizer.console.api_calls import PREFIX, Operation, Parameter
from services.authorizer.console.api_problems import MEDIA_TYPE, ProblemBody

_REF: Final = "#/components/schemas/{name}"
_ERRORS: Final = {
    400: "The body is not JSON.",
    401: "A signed link as bearer token, or a session, is needed.",
    403: "The link's role may not do this, or the CSRF token is missing.",
    404: "There is no such thing in this organisation.",
    409: "It does not fit how the organisation stands; `code` says why.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "A parameter or member is wrong; `field` names it.",
    429: "Too many tests within a short time; `Retry-After` says when to come again.",
    500: "A fault of the service.",
    503: "The service cannot reach its database; try again.",
}
_ALWAYS: Final = (401, 403, 422, 500, 503)
_WITH_BODY: Final = (400, 413, 415)
_ABOUT: Final = (
    "What the setup page does, for platforms with a page of their own. Every call is about the organisation that the "
    "caller's link names, and is written into its audit log under the actor that the link names. A link is a bearer "
    "token here for as long as it lives, ten minutes at most; a browser's session does as well, with its CSRF token "
    "in X-CSRF-Token. Instants are UTC seconds since 1970; intervals are half-open."
)
_SECURITY: Final = {
    "link": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A link signed by the platform.",
    },
    "session": {"type": "apiKey", "in": "cookie", "name": "__Host-busyline", "description": "A session of the page."},
}


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the page as JSON values."""
    table = tuple(operations)
    kinds = {kind for operation in table for kind in (operation.gives, operation.takes) if kind is not None}
    shown = sorted(kinds | {ProblemBody}, key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(shown, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in table:
        paths.setdefault(f"{PREFIX}{operation.path}", {})[operation.method.lower()] = _operation(operation)
    page = {
        "openapi": "3.1.0",
        "info": {
            "title": "Busyline setup",
            "version": version("busyline"),
            "summary": "How an organisation connects its calendars, and what it allows.",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"link": []}, {"session": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(page))  # defaults in schemas are tuples
    return plain


def _operation(operation: Operation) -> dict[str, Any]:
    also = _WITH_BODY if operation.takes is not None else ()
    problems = {
        str(status): {"description": _ERRORS[status], "content": _content(MEDIA_TYPE, "ProblemBody")}
        for status in sorted({*_ALWAYS, *also, *operation.refusals})
    }
    good = {"description": f"{operation.summary}.", "content": _content("application/json", operation.gives.__name__)}
    said: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_in_path(operation.path), *map(_in_query, operation.query)],
        "responses": {"200": good} | problems,
    }
    if operation.description:
        said["description"] = operation.description
    if operation.takes is not None:
        said["requestBody"] = {"required": True, "content": _content("application/json", operation.takes.__name__)}
    return said


def _in_path(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _in_query(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }


def _content(media_type: str, schema: str) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REF.format(name=schema)}}}
