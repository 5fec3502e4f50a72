"""The OpenAPI 3.1 page, built from the same types that answers are made of, so that it cannot drift from them."""

from importlib.metadata import version
from typing import Any

import msgspec

from services.publisher import answers
from services.publisher.problems import MEDIA_TYPE, ProblemBody

_REF = "#/components/schemas/{name}"
_TYPES = (
    answers.MailboxPage,
    answers.Availability,
    answers.FreeBusyAsked,
    answers.FreeBusyAnswer,
    answers.OrgStatus,
    ProblemBody,
)
_ERRORS = {
    400: "The body is not JSON.",
    401: "A valid bearer token is needed.",
    404: "There is no such org within the token's scope, or no such mailbox.",
    409: "It is not known when this mailbox is busy; `reason` says why.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not application/json.",
    422: "A parameter is wrong, or the time asked for is not covered; `field` or `window` says more.",
    500: "A fault of the service.",
    503: "The service cannot reach its database; try again.",
}
_ALWAYS = (401, 404, 422, 500, 503)


def document() -> dict[str, Any]:
    """Return the page as JSON values."""
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template=_REF)
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
        "paths": _paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "A consumer's token."}},
        },
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(page))  # defaults in schemas are tuples
    return plain


def _paths() -> dict[str, Any]:
    listing = [_query("limit", "Mailboxes a page, 1 to 1000; 100 unless told.", {"type": "integer"})]
    listing += [_query("cursor", "`next` of an earlier page."), _query("bucket", "Only mailboxes in this bucket.")]
    span = [_query("from", "Begin, RFC 3339; the window's unless told."), _query("to", "End, RFC 3339.")]
    return {
        "/v1/orgs/{org}/mailboxes": {
            "get": _operation("listMailboxes", "The org's mailboxes", "MailboxPage", parameters=[_ORG, *listing])
        },
        "/v1/orgs/{org}/mailboxes/{address}/availability": {
            "get": _operation(
                "availability",
                "When one mailbox is busy",
                "Availability",
                parameters=[_ORG, _ADDRESS, *span],
                also=(409,),
            )
        },
        "/v1/orgs/{org}/free-busy": {
            "post": {
                **_operation(
                    "freeBusy",
                    "When many mailboxes are busy",
                    "FreeBusyAnswer",
                    parameters=[_ORG],
                    also=(400, 413, 415),
                ),
                "requestBody": {"required": True, "content": _content("application/json", "FreeBusyAsked")},
            }
        },
        "/v1/orgs/{org}/status": {"get": _operation("orgStatus", "How the org does", "OrgStatus", parameters=[_ORG])},
    }


def _operation(
    name: str, summary: str, answer: str, *, parameters: list[dict[str, Any]], also: tuple[int, ...] = ()
) -> dict[str, Any]:
    problems = {
        str(status): {"description": _ERRORS[status], "content": _content(MEDIA_TYPE, "ProblemBody")}
        for status in sorted({*_ALWAYS, *also})
    }
    good = {"200": {"description": f"{summary}.", "content": _content("application/json", answer)}}
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": good | problems}


def _content(media_type: str, schema: str) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REF.format(name=schema)}}}


def _query(name: str, description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema or {"type": "string"}}


def _path(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }


_ORG = _path("org", "The platform's id of the org.")
_ADDRESS = _path("address", "The mailbox's address or id.")
