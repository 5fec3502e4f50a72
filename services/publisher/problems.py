"""Every HTTP error as RFC 9457 problem+json: a fixed code, a sentence, and the field where one is at fault.

It refuses to show what went wrong inside: an unexpected failure is logged by its type and places, and answered bare.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from services.publisher.operations import Handler
from shared import logs
from shared.contracts.public import Span
from shared.errors import Retry

MEDIA_TYPE = "application/problem+json"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


class ProblemBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every error answer looks like (RFC 9457)."""

    type: Annotated[str, Meta(description="urn:busyline:problem: and the code.")]
    title: str
    status: int
    code: Annotated[str, Meta(description="A fixed word, safe to decide by.")]
    field: Annotated[str, Meta(description="The parameter or member at fault.")] = ""
    detail: Annotated[str, Meta(description="What is wrong with it.")] = ""
    reason: Annotated[str, Meta(description="Why a mailbox's availability is not known: a fixed word.")] = ""
    window: Annotated[Span | None, Meta(description="The time covered, where the time asked for is not.")] = None


class Problem(Exception):  # noqa: N818 -- the RFC's own word
    """An error to answer with. `code` is a fixed word; `field` names what is at fault."""

    def __init__(
        self, status: int, code: str, *, title: str = "", headers: Mapping[str, str] = NO_HEADERS, **rest: Any
    ) -> None:
        """Take the status, the code, and any further member of ProblemBody."""
        super().__init__(code)
        self.headers = headers
        self.body = ProblemBody(
            type=f"urn:busyline:problem:{code}",
            title=title or HTTPStatus(status).phrase,
            status=status,
            code=code,
            **rest,
        )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return answer(problem)
    except web.HTTPException as error:
        return answer(_translated(error))
    except Retry as pause:
        return answer(Problem(503, pause.reason, headers={"Retry-After": str(max(1, int(pause.after)))}))
    except Exception as error:  # noqa: BLE001 -- the edge of the process: logged by type, never shown
        logs.get("publisher").error("request.failed", **logs.failure(error))
        return answer(Problem(500, "internal"))


def answer(problem: Problem) -> web.Response:
    """Return a problem as a response."""
    return web.Response(
        status=problem.body.status,
        body=msgspec.json.encode(problem.body),
        content_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def _translated(error: web.HTTPException) -> Problem:
    allowed = error.headers.get("Allow")
    headers = {"Allow": allowed} if allowed else NO_HEADERS
    return Problem(error.status, _CODES.get(error.status, "refused"), headers=headers)
