"""Edge: what is published now, and the update log. One batch is one transaction under the publication lock.

It refuses to write without reading the orgs' generations in that same transaction (rules 2, 3 and 6).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Delete, bindparam, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.news import UPDATED
from services.publisher.plan import Found, Key, Outcome, Plan, is_erasure, key_of, plan
from services.publisher.timeline import Timeline, from_row, row_of
from shared.connections import generations
from shared.contracts.values import Instant
from shared.reach import reached
from shared.store import Store
from shared.tables import feeds, purges, timelines, updates

_KEY = ("org_id", "mailbox_id")
_OF_MAILBOX = (updates.c.org_id == bindparam("k_org"), updates.c.mailbox_id == bindparam("k_mailbox"))
_CHANGES = delete(updates).where(*_OF_MAILBOX, updates.c.type == UPDATED)  # a removal stays: consumers must hear of it
_OLDER = _CHANGES.where(updates.c.generation < bindparam("k_generation"))
_EVERYTHING = delete(updates).where(*_OF_MAILBOX)
_FEEDS = delete(feeds).where(feeds.c.org_id == bindparam("k_org"), feeds.c.mailbox_id == bindparam("k_mailbox"))


async def publish(store: Store, found: Sequence[Found], *, now: Instant) -> tuple[Outcome, ...]:
    """Apply a batch of readings at once, and return what became of each, in order.

    Raises Retry (not counted) where the database cannot be reached.
    """
    async with reached(), store.write() as connection:
        await store.publication_lock(connection)
        present = await generations(connection, {item.org_id for item in found})
        found = await _lifted(connection, found, present)
        held = await _held(connection, {key_of(item) for item in found if item.org_id in present})
        planned = plan(found, present, held, now=now)
        await _forget(connection, planned, held)
        await _carry_out(store, connection, planned)
    return planned.outcomes


async def _lifted(connection: AsyncConnection, found: Sequence[Found], present: Mapping[str, int]) -> Sequence[Found]:
    """Return the batch, erasures of an older generation as of the present one.

    One from before an org left says nothing of it, connected anew: its mailboxes are counted from the beginning.
    """
    older = {item.org_id for item in found if is_erasure(item) and item.generation < present.get(item.org_id, 0)}
    if not older:
        return found
    query = select(purges.c.org_id, func.max(purges.c.generation).label("last")).group_by(purges.c.org_id)
    rows = await connection.execute(query.where(purges.c.org_id.in_(sorted(older))))
    left = {row.org_id: row.last for row in rows}
    return [
        replace(item, generation=max(item.generation, present[item.org_id]))
        if item.org_id in older and is_erasure(item) and item.generation > left.get(item.org_id, 0)
        else item
        for item in found
    ]


async def _held(connection: AsyncConnection, keys: set[Key]) -> dict[Key, Timeline]:
    if not keys:
        return {}
    query = select(timelines).where(tuple_(timelines.c.org_id, timelines.c.mailbox_id).in_(sorted(keys)))
    rows = (await connection.execute(query)).mappings()
    return {(row["org_id"], row["mailbox_id"]): from_row(row) for row in rows}  # type: ignore[arg-type]


async def _forget(connection: AsyncConnection, planned: Plan, held: dict[Key, Timeline]) -> None:
    """Delete what was told before and must not be told any more, nor kept.

    Of a mailbox that left a late consumer hears only that; of an erased one no earlier removal stays either, for it
    names the address. Its feeds go, too. One that was renamed is told whole anew, so nothing under its old address
    stays. What an older generation told the policy may forbid now.
    """
    keys: dict[Delete, list[dict[str, Any]]] = {_EVERYTHING: [], _CHANGES: [], _OLDER: [], _FEEDS: []}
    for timeline in planned.timelines:
        key = {"k_org": timeline.org_id, "k_mailbox": timeline.mailbox_id}
        old = held.get((timeline.org_id, timeline.mailbox_id))
        again = old is not None and old.erased  # the word of that is all there is, and is not told a second time
        if timeline.gone:
            keys[_EVERYTHING if timeline.erased and not again else _CHANGES].append(key)
            keys[_FEEDS].append(key)
        elif old is not None and old.address != timeline.address:
            keys[_CHANGES].append(key)
        elif old is not None and old.generation < timeline.generation:
            keys[_OLDER].append({**key, "k_generation": timeline.generation})
    for statement, rows in keys.items():
        if rows:
            await connection.execute(statement, rows)


async def _carry_out(store: Store, connection: AsyncConnection, planned: Plan) -> None:
    if planned.timelines:
        statement = store.upsert(timelines)
        new = {column.name: statement.excluded[column.name] for column in timelines.c if column.name not in _KEY}
        statement = statement.on_conflict_do_update(index_elements=_KEY, set_=new)
        await connection.execute(statement, [row_of(timeline) for timeline in planned.timelines])
    if planned.updates:
        await connection.execute(updates.insert(), list(planned.updates))
