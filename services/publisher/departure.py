"""Edge: deletes what is published of an org that left, and writes the one row that tells consumers to drop it.

It refuses an org that is in force, and leaves alone whatever a newer generation published: it was connected anew.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Delete, and_, delete, exists, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.news import ORG_REMOVED, told_of_departure
from shared.connections import IN_FORCE
from shared.contracts.values import Instant
from shared.errors import Reject
from shared.reach import reached
from shared.store import Store
from shared.tables import accesses, consumers, feeds, orgs, timelines, updates, webhook_waits

PAGE: Final = 1000  # rows of each table in one transaction; other orgs are published between two


async def depart(store: Store, org_id: str, generation: int, *, now: Instant) -> dict[str, int]:
    """Delete an org up to a generation, page by page, and return how many rows went; again, it finds nothing more.

    The first page also tells consumers, takes the org out of their scopes and deletes its feeds and how often it was
    asked about, unless a newer generation is there.
    Raises Reject("org_in_force") where the org was not disconnected, and Retry where the database cannot be reached.
    """
    counts = {"timelines": 0, "updates": 0}
    first = more = True
    while more:
        async with reached(), store.write() as connection:
            if first:
                await store.publication_lock(connection)
                await _tell(connection, org_id, generation, now=now)
            gone = await _page(connection, org_id, generation)
        first = False
        counts = {name: count + gone[name] for name, count in counts.items()}
        more = PAGE in gone.values()
    return counts


async def _tell(connection: AsyncConnection, org_id: str, generation: int, *, now: Instant) -> None:
    query = select(orgs.c.state, orgs.c.generation).where(orgs.c.org_id == org_id)
    row = (await connection.execute(query)).one_or_none()
    if row is not None and row.generation > generation:
        return
    if row is not None and row.state in IN_FORCE:
        raise Reject("org_in_force")
    told = exists().where(updates.c.org_id == org_id, updates.c.type == ORG_REMOVED, updates.c.generation >= generation)
    if (await connection.execute(select(told))).scalar_one():  # a scope given since then is of an org that comes back
        return
    last = updates.insert().values(told_of_departure(org_id, generation, now=now)).returning(updates.c.position)
    await _narrow_scopes(connection, org_id, (await connection.execute(last)).scalar_one())
    await connection.execute(delete(feeds).where(feeds.c.org_id == org_id))  # of whoever bears its id next, none shows
    await connection.execute(delete(accesses).where(accesses.c.org_id == org_id))
    of_mailboxes = (webhook_waits.c.org_id == org_id, webhook_waits.c.mailbox_id != "")  # their updates are deleted now
    await connection.execute(delete(webhook_waits).where(*of_mailboxes))


async def _narrow_scopes(connection: AsyncConnection, org_id: str, position: int) -> None:
    """Take the org out of every token's scope: another customer may bear its id one day. Its last word stays theirs."""
    rows = await connection.execute(
        select(consumers.c.name, consumers.c.orgs, consumers.c.departed)
        .where(consumers.c.orgs.contains(f'"{org_id}"', autoescape=True))
        .order_by(consumers.c.name)
        .with_for_update()
    )
    for name, scope, departed in rows.all():
        left = [each for each in msgspec.json.decode(scope, type=list[str]) if each != org_id]
        heard = msgspec.json.decode(departed, type=dict[str, int]) | {org_id: position}
        narrowed = update(consumers).where(consumers.c.name == name)
        await connection.execute(
            narrowed.values(orgs=msgspec.json.encode(left).decode(), departed=msgspec.json.encode(heard).decode())
        )


async def _page(connection: AsyncConnection, org_id: str, generation: int) -> dict[str, int]:
    """Delete up to a page of each table; rows are locked in one order, for another replica may be at the same."""
    key = tuple_(timelines.c.org_id, timelines.c.mailbox_id)
    published = (
        select(timelines.c.org_id, timelines.c.mailbox_id)
        .where(timelines.c.org_id == org_id, timelines.c.generation <= generation)
        .order_by(timelines.c.mailbox_id)
    )
    this_departure = and_(updates.c.type == ORG_REMOVED, updates.c.generation == generation)
    told = (
        select(updates.c.position)
        .where(updates.c.org_id == org_id, or_(updates.c.generation < generation, ~this_departure))
        .where(updates.c.generation <= generation)
        .order_by(updates.c.position)
    )
    # As a common table a page is read once; PostgreSQL may read a subquery again for each row, and delete everything.
    rows, positions = (each.limit(PAGE).with_for_update().cte("page") for each in (published, told))
    return {
        "timelines": await _deleted(connection, delete(timelines).where(key.in_(select(rows))), timelines.c.mailbox_id),
        "updates": await _deleted(
            connection, delete(updates).where(updates.c.position.in_(select(positions))), updates.c.position
        ),
    }


async def _deleted(connection: AsyncConnection, statement: Delete, key: ColumnElement[Any]) -> int:
    """Delete, and return how many rows went: SQLite's driver counts none of a statement that begins with a table."""
    return len((await connection.execute(statement.returning(key))).all())
