"""Answers which orgs a token may ask about, page by page, and whether the first reading of each is done.

It refuses to name an org outside the token's scope, and one that is leaving.
"""

import base64
import binascii
from typing import Annotated, Any, Final

from aiohttp import web
from msgspec import Meta
from sqlalchemy import ColumnElement, Row, Select, and_, exists, select

from services.publisher.access import STORE, bearer
from services.publisher.asking import invalid, number, parameters
from services.publisher.consumers import Known
from services.publisher.operations import Operation, Parameter
from services.publisher.reply import reply
from shared.connections import DISCONNECTING
from shared.contracts.public import PublicMessage
from shared.contracts.values import ORG_ID, Bucket, OrgId
from shared.reach import reached
from shared.tables import enumerations, mailboxes, orgs, timelines

LARGEST_PAGE: Final = 1000
PROMPT: Final = 600  # seconds after an org was connected within which its first search begins; later ones are daily


class OrgEntry(PublicMessage, frozen=True, kw_only=True):
    """An org that the token may ask about.

    `first_reading_done`: its directory was searched to the end, and of every active mailbox an update was published
    that may still be shown. Until then a snapshot lacks mailboxes; they are told as they are read.
    """

    org_id: OrgId
    state: Annotated[str, Meta(description="As in its status.", examples=["connected"])]
    first_reading_done: Annotated[bool, Meta(examples=[True])]


class OrgPage(PublicMessage, frozen=True, kw_only=True):
    """One page of the orgs there are for a token; `next` goes into the parameter `cursor`, and is null at the end."""

    orgs: tuple[OrgEntry, ...]
    next: str | None


async def list_orgs(request: web.Request) -> web.Response:
    """GET /v1/orgs: ordered by id; `limit` and `cursor` narrow the page."""
    known = await bearer(request)
    asked = parameters(request, {"limit", "cursor"})
    limit = number("limit", asked.get("limit", "100"), least=1, most=LARGEST_PAGE)
    query = _query(known, after=_opened(asked.get("cursor", "")))
    async with reached(), request.app[STORE].read() as connection:
        rows = (await connection.execute(query.limit(limit + 1))).all()
    page = tuple(_entry(row) for row in rows[:limit])
    return reply(OrgPage(orgs=page, next=_sealed(page[-1].org_id) if len(rows) > limit else None))


def _query(known: Known, *, after: str) -> Select[Any]:
    table = orgs.c
    search = enumerations.c
    columns = (table.org_id, table.state, table.connected_at, search.run, search.started_at, search.finished_at)
    query = (
        select(*columns, exists().where(_unread()).label("unread"))
        .outerjoin(enumerations, search.org_id == table.org_id)
        .where(table.state != DISCONNECTING, table.org_id > after)
        .order_by(table.org_id)
    )
    return query if known.every_org else query.where(table.org_id.in_(known.orgs))


def _unread() -> ColumnElement[bool]:
    """Say whether a mailbox is to be read and nothing that may be shown was published of it."""
    same = and_(timelines.c.org_id == mailboxes.c.org_id, timelines.c.mailbox_id == mailboxes.c.mailbox_id)
    shown = exists().where(same, timelines.c.generation >= orgs.c.shown_from).correlate(mailboxes, orgs)
    return and_(mailboxes.c.org_id == orgs.c.org_id, mailboxes.c.bucket == Bucket.ACTIVE.value, ~shown)


def _entry(row: Row[Any]) -> OrgEntry:
    done = _searched(row) and not row.unread
    return OrgEntry(org_id=row.org_id, state=row.state, first_reading_done=done)


def _searched(row: Row[Any]) -> bool:
    """Say whether the directory was searched to the end once; a row without a run holds a pause alone."""
    if not row.run or row.connected_at is None:
        return False
    return row.finished_at is not None or row.started_at >= row.connected_at + PROMPT


def _sealed(org_id: str) -> str:
    return base64.urlsafe_b64encode(org_id.encode()).decode().rstrip("=")


def _opened(cursor: str) -> str:
    """Return the org to go on after, or an empty string; it widens nothing, whatever it names."""
    try:
        org_id = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        org_id = "?"
    if org_id and not ORG_ID.fullmatch(org_id):
        raise invalid("cursor", "It must be `next` of an earlier page.")
    return org_id


OPERATIONS = (
    Operation(
        name="listOrgs",
        method="GET",
        path="/v1/orgs",
        summary="The orgs a token may ask about",
        group="Organisations",
        description="Ask now and then where the token's scope can change, and follow what appears.",
        handler=list_orgs,
        answers=OrgPage,
        query=(
            Parameter(
                name="limit",
                description=f"Orgs a page, 1 to {LARGEST_PAGE}; 100 unless told.",
                schema={"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE},
            ),
            Parameter(name="cursor", description="`next` of an earlier page."),
        ),
    ),
)
