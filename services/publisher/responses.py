"""What an operation may be answered with, as OpenAPI has it: the good answer, and every error with its sample."""

from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from services.publisher.operations import Operation
from services.publisher.problems import MEDIA_TYPE, ProblemBody
from services.publisher.specimen import specimen
from shared.contracts.public import Span

REF: Final = "#/components/schemas/{name}"
JSON: Final = "application/json"
_KEPT = frozenset({JSON, "text/calendar"})  # media types of answers that bear an ETag
_ALWAYS = frozenset({422, 429, 500, 503})
_WITH_TOKEN = frozenset({401})
_WITH_BODY = frozenset({400, 413, 415})
ERRORS: dict[int, tuple[str, str, dict[str, Any]]] = {  # what it means, a code for the sample, further members of it
    400: ("The body is not JSON.", "malformed", {}),
    401: ("A valid bearer token is needed.", "unauthorized", {}),
    404: ("There is no such thing within the token's scope.", "org_unknown", {}),
    406: ("No media type asked for can be given.", "not_acceptable", {}),
    409: (
        "It cannot be answered as things stand; `code` and `reason` say why.",
        "availability_unknown",
        {"reason": "access_denied"},
    ),
    410: ("What was asked for is gone; `code` says what to do.", "position_forgotten", {}),
    413: ("The body is larger than 1 MiB.", "body_too_large", {}),
    415: ("The body is not application/json.", "not_json", {}),
    422: (
        "A parameter is wrong, or the time asked for is not covered; `field` or `window` says more.",
        "outside_window",
        {"window": Span(start="2026-01-19T00:00:00Z", end="2026-09-20T00:00:00Z")},
    ),
    429: ("Too many requests; `Retry-After` says when to ask again.", "too_many_requests", {}),
    500: ("A fault of the service.", "internal", {}),
    503: ("The service cannot reach its database; try again.", "store_unavailable", {}),
}
HEADERS: dict[str, dict[str, Any]] = {
    "ETag": {"description": "Names this very answer; send it as `If-None-Match` to be spared it.", "type": "string"},
    "Retry-After": {"description": "Seconds after which to ask again.", "type": "integer", "minimum": 0},
    "WWW-Authenticate": {"description": "`Bearer`.", "type": "string"},
    "RateLimit": {"description": "What is left of the quota, and when it is full again.", "type": "string"},
    "RateLimit-Policy": {"description": "The quota: how many requests in how many seconds.", "type": "string"},
}
_BY_STATUS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_QUOTA = ("RateLimit", "RateLimit-Policy")


def responses(each: Operation) -> dict[str, Any]:
    """Return every answer by its status."""
    statuses = _ALWAYS | set(each.problems)
    statuses |= frozenset() if each.open else _WITH_TOKEN
    statuses |= frozenset() if each.takes is None else _WITH_BODY
    kept = {} if not is_kept(each) else {"304": {"description": "It is still as `If-None-Match` names it."}}
    return {str(each.status): _good(each)} | kept | {str(status): _problem(status) for status in sorted(statuses)}


def header_components() -> dict[str, Any]:
    """Return the headers that answers refer to."""
    return {
        name: {
            "description": about["description"],
            "schema": {key: about[key] for key in about if key != "description"},
        }
        for name, about in HEADERS.items()
    }


def content(media_type: str, kind: type[Struct], example: object = None) -> dict[str, Any]:
    """Return the content of one media type: its schema, with an example where one can be made up."""
    page: dict[str, Any] = {"schema": {"$ref": REF.format(name=kind.__name__)}}
    try:
        page["example"] = specimen(kind) if example is None else example
    except LookupError:  # no word fits: better none than no page; the checks name it
        return {media_type: page}
    return {media_type: page}


def _good(each: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {} if each.answers is None else content(JSON, each.answers)
    for media_type, words in each.media.items():
        told[media_type] = {"schema": {"type": "string", "description": words}}
    names = (*(("ETag",) if is_kept(each) else ()), *(() if each.open else _QUOTA))
    return {"description": f"{each.summary}."} | _headers(names) | ({"content": told} if told else {})


def is_kept(each: Operation) -> bool:
    """Say whether its good answer bears an ETag, by which a client can be spared it."""
    offered = {*each.media, *(() if each.answers is None else (JSON,))}
    return each.method == "GET" and each.status == HTTPStatus.OK and bool(offered & _KEPT)


def _problem(status: int) -> dict[str, Any]:
    meaning, code, more = ERRORS[status]
    sample = ProblemBody(
        type=f"urn:busyline:problem:{code}", title=HTTPStatus(status).phrase, status=status, code=code, **more
    )
    told = content(MEDIA_TYPE, ProblemBody, msgspec.to_builtins(sample))
    return {"description": meaning} | _headers(_BY_STATUS.get(status, ())) | {"content": told}


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}} if names else {}
