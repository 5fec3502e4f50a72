"""Edge: what is published now, and the update log. One batch is one transaction under the publication lock.

It refuses to write without reading the orgs' generations in that same transaction (rules 2, 3 and 6).
"""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.news import UPDATED
from services.publisher.plan import Found, Key, Outcome, Plan, key_of, plan
from services.publisher.timeline import Timeline, from_row, row_of
from shared.connections import generations
from shared.contracts.values import Instant
from shared.reach import reached
from shared.store import Store
from shared.tables import timelines, updates

_KEY = ("org_id", "mailbox_id")
_OLDER = delete(updates).where(  # a removal stays: consumers must hear of it under any policy
    updates.c.org_id == bindparam("k_org"),
    updates.c.mailbox_id == bindparam("k_mailbox"),
    updates.c.generation < bindparam("k_generation"),
    updates.c.type == UPDATED,
)


async def publish(store: Store, found: Sequence[Found], *, now: Instant) -> tuple[Outcome, ...]:
    """Apply a batch of readings at once, and return what became of each, in order.

    Raises Retry (not counted) where the database cannot be reached.
    """
    async with reached(), store.write() as connection:
        await store.publication_lock(connection)
        present = await generations(connection, {item.org_id for item in found})
        held = await _held(connection, {key_of(item) for item in found if item.org_id in present})
        planned = plan(found, present, held, now=now)
        await _forget_older(connection, planned, held)
        await _carry_out(store, connection, planned)
    return planned.outcomes


async def _held(connection: AsyncConnection, keys: set[Key]) -> dict[Key, Timeline]:
    if not keys:
        return {}
    query = select(timelines).where(tuple_(timelines.c.org_id, timelines.c.mailbox_id).in_(sorted(keys)))
    rows = (await connection.execute(query)).mappings()
    return {(row["org_id"], row["mailbox_id"]): from_row(row) for row in rows}  # type: ignore[arg-type]


async def _forget_older(connection: AsyncConnection, planned: Plan, held: dict[Key, Timeline]) -> None:
    """Delete what older generations told of a mailbox that a newer one speaks of: its policy may forbid that now."""
    keys = [
        {"k_org": timeline.org_id, "k_mailbox": timeline.mailbox_id, "k_generation": timeline.generation}
        for timeline in planned.timelines
        if (old := held.get((timeline.org_id, timeline.mailbox_id))) and old.generation < timeline.generation
    ]
    if keys:
        await connection.execute(_OLDER, keys)


async def _carry_out(store: Store, connection: AsyncConnection, planned: Plan) -> None:
    if planned.timelines:
        statement = store.upsert(timelines)
        new = {column.name: statement.excluded[column.name] for column in timelines.c if column.name not in _KEY}
        statement = statement.on_conflict_do_update(index_elements=_KEY, set_=new)
        await connection.execute(statement, [row_of(timeline) for timeline in planned.timelines])
    if planned.updates:
        await connection.execute(updates.insert(), list(planned.updates))
