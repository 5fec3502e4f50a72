"""Edge: reads the timelines that answer a question, by address or by mailbox id, never without the org.

What the org's present policy may forbid is not answered: details that an older generation published, and anything that
one older than `shown_from` did.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Table, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.access import Org
from services.publisher.timeline import GONE, Timeline, from_row
from shared.reach import reached
from shared.store import Store
from shared.tables import mailboxes, timelines, updates

NOT_READ_YET = "not_read_yet"
POLICY_CHANGED = "policy_changed"
_GONE = sorted(bucket.value for bucket in GONE)
_AT_ONCE = 50  # mailboxes read and worked on before other requests have their turn


class Shown(Struct, frozen=True):
    """What is published of a mailbox, and the place in the update log of its last update (0: none).

    Without a timeline the mailbox is known and nothing is shown of it, for `reason`.
    """

    timeline: Timeline | None
    position: int = 0
    reason: str = NOT_READ_YET

    @property
    def known(self) -> Timeline:
        """Return the timeline of a mailbox that was found to be known."""
        assert self.timeline is not None
        return self.timeline


async def published(store: Store, org: Org, names: Sequence[str]) -> dict[str, Shown]:
    """Return what is published of those of the mailboxes named, by address or by id, that the org has."""
    names = [name for name in names if "\0" not in name]  # no name has it, and PostgreSQL takes no text that does
    async with reached(), store.read() as connection:
        found = await _by_name(connection, org, names)
        if missing := [name for name in names if name not in found]:
            found |= await _not_published(connection, org, missing)
    return found


async def in_turn(store: Store, org: Org, asked: Sequence[str]) -> AsyncIterator[tuple[str, Shown | None]]:
    """Yield what is published of each mailbox asked about, None where there is none such, in the order asked."""
    for start in range(0, len(asked), _AT_ONCE):
        names = asked[start : start + _AT_ONCE]
        found = await published(store, org, [kept_name(name) for name in names])
        for name in names:
            yield name, found.get(kept_name(name))
        await asyncio.sleep(0)


def kept_name(text: str) -> str:
    """Return a mailbox's name as it is kept: addresses in lower case, ids as they are."""
    return text.lower() if "@" in text else text


async def _by_name(connection: AsyncConnection, org: Org, names: Collection[str]) -> dict[str, Shown]:
    told = and_(updates.c.org_id == timelines.c.org_id, updates.c.mailbox_id == timelines.c.mailbox_id)
    last = select(func.max(updates.c.position)).where(told).correlate(timelines).scalar_subquery()
    query = select(timelines, last.label("position")).where(_named(timelines, org, names)).order_by(timelines.c.as_of)
    found: dict[str, Shown] = {}
    for row in (await connection.execute(query)).mappings():
        shown = Shown(allowed(from_row(dict(row)), org), row["position"] or 0, POLICY_CHANGED)
        found |= {row["mailbox_id"]: shown, row["address"]: shown}  # of two with one address the latest read counts
    return found


async def _not_published(connection: AsyncConnection, org: Org, names: Collection[str]) -> dict[str, Shown]:
    """Return the mailboxes known under these names only to the directory: not read yet, or renamed since."""
    columns = (mailboxes.c.mailbox_id, mailboxes.c.address, mailboxes.c.reason)
    rows = (await connection.execute(select(*columns).where(_named(mailboxes, org, names)))).all()
    if not rows:
        return {}
    renamed = await _by_name(connection, org, [row.mailbox_id for row in rows])
    found: dict[str, Shown] = {}
    for row in rows:
        shown = renamed.get(row.mailbox_id) or Shown(None, reason=row.reason or NOT_READ_YET)
        found |= {row.mailbox_id: shown, row.address: shown}
    return found


def _named(table: Table, org: Org, names: Collection[str]) -> ColumnElement[bool]:
    return and_(
        table.c.org_id == org.org_id,
        or_(table.c.address.in_(names), table.c.mailbox_id.in_(names)),
        table.c.bucket.not_in(_GONE),
    )


def allowed(timeline: Timeline, org: Org) -> Timeline | None:
    """Return what may be shown of a timeline, None for nothing: a stricter policy came, and no reading since."""
    if timeline.generation < org.shown_from:
        return None
    older: dict[str, Any] = {} if timeline.generation == org.generation else {"events": None}
    return msgspec.structs.replace(timeline, **older)
