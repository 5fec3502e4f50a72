"""Edge: reads what finding time needs of mailboxes, by address or by id, and nothing of their events.

What is shown follows the rules of `published`: nothing that was read before the present policy allowed it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.access import Org
from services.publisher.finding.line import Line
from services.publisher.published import NOT_READ_YET, POLICY_CHANGED
from services.publisher.timeline import GONE
from shared.contracts.values import Coverage
from shared.reach import reached
from shared.store import Store
from shared.tables import mailboxes, timelines, updates

_GONE = sorted(bucket.value for bucket in GONE)
_LAST = (
    select(func.max(updates.c.position))
    .where(updates.c.org_id == timelines.c.org_id, updates.c.mailbox_id == timelines.c.mailbox_id)
    .correlate(timelines)
    .scalar_subquery()
)
_COLUMNS = (
    timelines.c.mailbox_id,
    timelines.c.address,
    timelines.c.generation,
    timelines.c.coverage,
    timelines.c.reason,
    timelines.c.time_zone,
    timelines.c.window_start,
    timelines.c.window_end,
    timelines.c.as_of,
    timelines.c.version,
    timelines.c.blocks,
    timelines.c.working_hours,
    _LAST.label("position"),
)


async def lines(store: Store, org: Org, names: Sequence[str]) -> dict[str, Line]:
    """Return the lines of those of the mailboxes named, as names are kept, that the org has."""
    names = [name for name in names if "\0" not in name]  # no name has it, and PostgreSQL takes no text that does
    if not names:
        return {}
    async with reached(), store.read() as connection:
        found = await _published(connection, org, names)
        if missing := [name for name in names if name not in found]:
            found |= await _in_directory(connection, org, missing)
    return found


async def _published(connection: AsyncConnection, org: Org, names: Collection[str]) -> dict[str, Line]:
    query = select(*_COLUMNS).where(_named(timelines, org, names)).order_by(timelines.c.as_of)
    found: dict[str, Line] = {}
    for row in (await connection.execute(query)).mappings():
        line = _line(row, org)
        found |= {row["mailbox_id"]: line, row["address"]: line}  # of two with one address the latest read counts
    return found


async def _in_directory(connection: AsyncConnection, org: Org, names: Collection[str]) -> dict[str, Line]:
    """Return the mailboxes known under these names only to the directory: not read yet, or renamed since."""
    columns = (mailboxes.c.mailbox_id, mailboxes.c.address, mailboxes.c.reason)
    rows = (await connection.execute(select(*columns).where(_named(mailboxes, org, names)))).all()
    renamed = await _published(connection, org, [row.mailbox_id for row in rows]) if rows else {}
    found: dict[str, Line] = {}
    for row in rows:
        unread = Line(mailbox_id=row.mailbox_id, known=False, reason=row.reason or NOT_READ_YET)
        line = renamed.get(row.mailbox_id, unread)
        found |= {row.mailbox_id: line, row.address: line}
    return found


def _named(table: Table, org: Org, names: Collection[str]) -> ColumnElement[bool]:
    """Return where a row is one of those named: no id has an @, and no address of a mailbox that is read has none."""
    addresses, ids = [name for name in names if "@" in name], [name for name in names if "@" not in name]
    named = [column.in_(some) for column, some in ((table.c.address, addresses), (table.c.mailbox_id, ids)) if some]
    return and_(table.c.org_id == org.org_id, or_(*named), table.c.bucket.not_in(_GONE))


def _line(row: Mapping[Any, Any], org: Org) -> Line:
    if row["generation"] < org.shown_from:
        return Line(mailbox_id=row["mailbox_id"], known=False, reason=POLICY_CHANGED)
    if row["coverage"] != Coverage.FULL.value:
        return Line(mailbox_id=row["mailbox_id"], known=False, reason=row["reason"] or NOT_READ_YET)
    return Line(
        mailbox_id=row["mailbox_id"],
        known=True,
        time_zone=row["time_zone"],
        window=(row["window_start"], row["window_end"]),
        as_of=row["as_of"],
        version=row["version"],
        position=row["position"] or 0,
        blocks=row["blocks"],
        hours=row["working_hours"],
    )
