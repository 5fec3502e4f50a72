"""Every error of the JSON API as RFC 9457 problem+json: a fixed code, a sentence, and the field where one is at fault.

It refuses to show what went wrong inside: an unexpected failure is logged by its type and places, and answered bare.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from shared import logs
from shared.errors import Retry

MEDIA_TYPE: Final = "application/problem+json"
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_CODES: Final = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 429: "too_many_requests"}


class ProblemBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every error answer looks like (RFC 9457)."""

    type: Annotated[str, Meta(description="urn:busyline:problem: and the code.")]
    title: str
    status: int
    code: Annotated[str, Meta(description="A fixed word, safe to decide by.")]
    field: Annotated[str, Meta(description="The parameter or member at fault.")] = ""
    detail: Annotated[str, Meta(description="What is wrong, and what to do about it.")] = ""


class Problem(Exception):  # noqa: N818 -- the RFC's own word
    """An error to answer with. `code` is a fixed word; `field` names what is at fault, `detail` says what is wrong."""

    def __init__(
        self, status: int, code: str, *, field: str = "", detail: str = "", headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        """Take the status, the code, and what else there is to say."""
        super().__init__(code)
        self.headers = headers
        self.body = ProblemBody(
            type=f"urn:busyline:problem:{code}",
            title=HTTPStatus(status).phrase,
            status=status,
            code=code,
            field=field,
            detail=detail,
        )


def invalid(field: str, detail: str) -> Problem:
    """Return the problem of a parameter or a member that is wrong."""
    return Problem(422, "invalid", field=field, detail=detail)


def answer(problem: Problem) -> web.Response:
    """Return a problem as a response."""
    return web.Response(
        status=problem.body.status,
        body=msgspec.json.encode(problem.body),
        content_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def of_error(error: Exception) -> Problem:
    """Return the problem that an error is answered with; what is not expected is logged and told nobody."""
    match error:
        case Problem():
            return error
        case web.HTTPException():
            wait = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
            return Problem(error.status, _CODES.get(error.status, "refused"), headers=wait)
        case Retry():
            return Problem(503, error.reason, headers={"Retry-After": str(max(1, int(error.after)))})
    logs.get("authorizer").error("request.failed", **logs.failure(error))
    return Problem(500, "internal")
