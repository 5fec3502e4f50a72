"""Answers what is published of an org, page by page, and the position in the update log from which to go on.

It refuses to show what the org's present policy may forbid, and to go on over an org that left and came back.
"""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Select, and_, func, select

from services.publisher import log, news
from services.publisher.access import STORE, Org, org_asked
from services.publisher.asking import invalid, number, parameters
from services.publisher.operations import Operation, Parameter
from services.publisher.problems import Problem
from services.publisher.published import POLICY_CHANGED, allowed
from services.publisher.reply import reply
from services.publisher.timeline import GONE, Timeline, from_row
from shared.contracts.public import AvailabilityUpdated, PublicMessage
from shared.contracts.values import Coverage
from shared.reach import reached
from shared.store import Store
from shared.tables import timelines, updates

LARGEST_PAGE = 500
_AT_ONCE = 20  # mailboxes written before other requests have their turn
_GONE = sorted(bucket.value for bucket in GONE)


class SnapshotMailbox(AvailabilityUpdated, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is published of one mailbox, its whole window; every update up to `position` is in it."""

    position: Annotated[int, Meta(ge=0, description="Of the mailbox's last update in the log; 0 before its first.")]


class Snapshot(PublicMessage, frozen=True, kw_only=True):
    """One page of what is published of an org, by mailbox id; `next` goes into the parameter `cursor`, null at the end.

    Updates after `position` are told of the org besides, on every page of one snapshot the same. A mailbox that is on
    none of the pages, and of which no update after `position` tells, is not published.
    """

    org_id: str
    mailboxes: tuple[SnapshotMailbox, ...]
    position: Annotated[int, Meta(ge=0, description="Go on from here: it was the log's end before the first page.")]
    next: str | None


class Cursor(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a snapshot goes on: the log's position before its first page, and the mailbox to go on after."""

    position: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    after: Annotated[str, Meta(max_length=512, pattern=r"^[^\x00]*$")]  # PostgreSQL takes no text that has it


async def snapshot(request: web.Request) -> web.Response:
    """GET /v1/orgs/{org}/snapshot: ordered by mailbox id; `limit` and `cursor` narrow the page."""
    org = await org_asked(request)
    asked = parameters(request, {"limit", "cursor"})
    limit = number("limit", asked.get("limit", "100"), least=1, most=LARGEST_PAGE)
    store = request.app[STORE]
    cursor = _opened(asked["cursor"]) if "cursor" in asked else Cursor(await log.head(store), "")
    rows = await _rows(store, org, cursor, limit=limit + 1)
    page = await _written(rows[:limit], org)
    following = _sealed(Cursor(cursor.position, page[-1].mailbox_id)) if len(rows) > limit else None
    return reply(Snapshot(org_id=org.org_id, mailboxes=page, position=cursor.position, next=following))


async def _rows(store: Store, org: Org, cursor: Cursor, *, limit: int) -> Sequence[tuple[Timeline, int]]:
    async with reached(), store.read() as connection:
        found = (await connection.execute(_query(org, cursor, limit))).mappings().all()
        left = select(func.max(updates.c.position)).where(
            updates.c.org_id == org.org_id, updates.c.type == news.ORG_REMOVED
        )
        if ((await connection.execute(left)).scalar_one() or 0) > cursor.position:
            raise Problem(410, "snapshot_outdated", title="The org left meanwhile; begin the snapshot anew")
    return [(from_row(dict(row)), row["position"] or 0) for row in found]


def _query(org: Org, cursor: Cursor, limit: int) -> Select[Any]:
    told = and_(updates.c.org_id == timelines.c.org_id, updates.c.mailbox_id == timelines.c.mailbox_id)
    last = select(func.max(updates.c.position)).where(told).correlate(timelines).scalar_subquery()
    return (
        select(timelines, last.label("position"))
        .where(
            timelines.c.org_id == org.org_id, timelines.c.mailbox_id > cursor.after, timelines.c.bucket.not_in(_GONE)
        )
        .order_by(timelines.c.mailbox_id)
        .limit(limit)
    )


async def _written(rows: Sequence[tuple[Timeline, int]], org: Org) -> tuple[SnapshotMailbox, ...]:
    page: list[SnapshotMailbox] = []
    for start in range(0, len(rows), _AT_ONCE):
        page.extend(entry(timeline, position, org) for timeline, position in rows[start : start + _AT_ONCE])
        await asyncio.sleep(0)
    return tuple(page)


def entry(timeline: Timeline, position: int, org: Org) -> SnapshotMailbox:
    """Return what an org's present policy lets be shown of a timeline: nothing but that it is not known, at worst."""
    shown = allowed(timeline, org) or _withheld(timeline)
    told = news.update(shown, shown.window)
    fields = {name: getattr(told, name) for name in told.__struct_fields__}
    return SnapshotMailbox(**fields, position=position)


def _withheld(timeline: Timeline) -> Timeline:
    """Return a timeline without what it holds: a stricter policy came, and it was not read since."""
    nothing: dict[str, Any] = {"blocks": (), "events": None, "working_hours": None}
    return msgspec.structs.replace(timeline, coverage=Coverage.UNKNOWN, reason=POLICY_CHANGED, **nothing)


def _sealed(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _opened(text: str) -> Cursor:
    """Return a page's cursor. It holds no org: it is read within the org asked about alone."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=Cursor)
    except (binascii.Error, ValueError):  # msgspec's errors are ValueErrors
        raise invalid("cursor", "It must be `next` of an earlier page.") from None


OPERATIONS = (
    Operation(
        name="snapshot",
        method="GET",
        path="/v1/orgs/{org}/snapshot",
        summary="What is published of an org, and where to go on",
        group="Following",
        handler=snapshot,
        answers=Snapshot,
        query=(
            Parameter(
                name="limit",
                description=f"Mailboxes a page, 1 to {LARGEST_PAGE}; 100 unless told.",
                schema={"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE},
            ),
            Parameter(name="cursor", description="`next` of an earlier page."),
        ),
        problems=(404, 410),
    ),
)
