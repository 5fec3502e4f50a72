"""Answers what was told since a position: the update log as a feed over HTTP, with a wait for what comes next.

It refuses a position from which somebody would miss something, and to tell what was withheld while it waited.
"""

import asyncio
from contextlib import suppress
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from services.publisher import log
from services.publisher.access import STORE, bearer, bearer_anew, token_of
from services.publisher.asking import number
from services.publisher.envelope import Told
from services.publisher.events import AnyEvent
from services.publisher.following import FOLLOWING, here
from services.publisher.log import LogPage, PositionGone, Scope
from services.publisher.operations import Operation, Parameter
from services.publisher.place import AFTER, ORG, Asked, asked, gone, scope_asked
from services.publisher.reply import reply
from services.publisher.tail import event
from shared.contracts.public import PublicMessage
from shared.store import Store

LARGEST_PAGE: Final = 1000
LONGEST_WAIT: Final = 60
HEAVIEST: Final = 4 << 20  # bytes of bodies after which an answer ends
_AT_ONCE: Final = 100  # updates read at a time


class UpdatePage(PublicMessage, frozen=True, kw_only=True):
    """Updates in order; `position` goes into `after` next time, and `more` says that more may be there already.

    The position rises though nothing was told: what lies before it was of other orgs, or is not to be told any more.
    """

    updates: tuple[AnyEvent, ...]
    position: Annotated[int, Meta(ge=0)]
    more: bool


async def list_updates(request: web.Request) -> web.Response:
    """GET /v1/updates: up to `limit` updates after a position, waiting up to `wait` seconds for the first one."""
    known = await bearer(request)
    wanted = asked(request, {"limit", "wait"})
    limit = number("limit", wanted.rest.get("limit", "100"), least=1, most=LARGEST_PAGE)
    wait = number("wait", wanted.rest.get("wait", "0"), least=0, most=LONGEST_WAIT)
    found = await _read(request, wanted, limit=limit)
    if found.rows or found.full or not wait or request.method == "HEAD":
        return reply(_page(found))
    with request.app[FOLLOWING].admitted(token_of(request), known):
        scope = log.scope_of(known, wanted.only) or Scope(frozenset())
        position = await _passed(request, scope, found.position, seconds=wait)
    later = Asked(only=wanted.only, after=position, rest={})
    return reply(_page(await _read(request, later, limit=limit)))


async def _read(request: web.Request, wanted: Asked, *, limit: int) -> LogPage:
    """Return what whoever asks may be told by now. Raises Problem 401, 404, 410."""
    known = await bearer_anew(request)
    store = request.app[STORE]
    after = await log.beginning(store) if wanted.after is None else wanted.after
    scope = await scope_asked(request, known, wanted.only, after=after)
    try:
        return await _read_on(store, scope, after=after, limit=limit)
    except PositionGone as error:
        raise gone(error) from None


async def _read_on(store: Store, scope: Scope, *, after: int, limit: int) -> LogPage:
    """Read in parts until the page is as long or as heavy as it may be, or nothing more is there."""
    rows: list[Told] = []
    full = True
    while full and len(rows) < limit and sum(len(told.body) for told in rows) < HEAVIEST:
        part = await log.page_from(store, scope, after=after, limit=min(_AT_ONCE, limit - len(rows)))
        rows.extend(part.rows)
        after, full = part.position, part.full
    return LogPage(tuple(rows), after, full)


async def _passed(request: web.Request, scope: Scope, after: int, *, seconds: int) -> int:
    """Wait until something is told within a scope, and return the position before it: nothing lies up to there."""
    following = request.app[FOLLOWING]
    following.tail.want()
    with suppress(TimeoutError, PositionGone):  # whoever reads from there anew is told so
        async with asyncio.timeout(seconds):
            while not following.tail.ended and here(request):
                turn = following.tail.turn
                while (batch := await following.batch(scope, after)) is not None:
                    if batch.heard(scope):
                        return after
                    after = batch.position
                await turn.wait()
    return after


def _page(found: LogPage) -> UpdatePage:
    events = tuple(msgspec.Raw(event(told)) for told in found.rows)
    return UpdatePage(updates=events, position=found.position, more=found.full)


OPERATIONS = (
    Operation(
        name="listUpdates",
        method="GET",
        path="/v1/updates",
        summary="What was told since a position",
        description="Without `after` it begins with what is kept, which is no state: take a snapshot first.",
        group="Following",
        handler=list_updates,
        answers=UpdatePage,
        query=(
            AFTER,
            ORG,
            Parameter(
                name="limit",
                description=f"Updates a page, 1 to {LARGEST_PAGE}; 100 unless told.",
                schema={"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE},
            ),
            Parameter(
                name="wait",
                description=f"Seconds to wait where there is nothing yet, up to {LONGEST_WAIT}; none unless told.",
                schema={"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT},
            ),
        ),
        problems=(404, 410),
    ),
)
