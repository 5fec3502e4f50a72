"""How long the update log is kept: what is old, announced, and no last word on a mailbox that is read is deleted.

A notice that a mailbox was removed names its address: it goes when it is old. It refuses to delete the last word on a
mailbox that is read or on an org that left, and anything the relay has not announced yet.
"""

import asyncio
from contextlib import suppress
from typing import Final

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.log import FORGOTTEN
from services.publisher.news import REMOVED
from services.publisher.relay import NAME
from shared import clock, logs
from shared.contracts.values import DAY, Instant
from shared.errors import Retry
from shared.reach import reached
from shared.store import Store
from shared.tables import relay, updates

PAGE: Final = 1000  # rows looked at in one transaction
PAGES: Final = 100  # in one go; the next goes on where it ended
PAUSE: Final = 60.0  # seconds between two


async def retain(store: Store, *, days: int, stop: asyncio.Event) -> None:
    """Delete once a minute until `stop` is set; with 0 days all is kept for ever."""
    place = 0
    while days and not stop.is_set():
        try:
            place = await forget_old(store, before=clock.now() - days * DAY, place=place)
        except Retry as pause:
            logs.get("publisher").warning("retention.paused", reason=pause.reason)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PAUSE)


async def forget_old(store: Store, *, before: Instant, place: int = 0) -> int:
    """Go through the log from after a position, and return the place to go on at: 0 once all that is old was seen.

    Raises Retry where the database cannot be reached.
    """
    for _ in range(PAGES):
        async with reached(), store.write() as connection:
            place = await _page(store, connection, before, place)
        if not place:
            break
    return place


async def _note_forgotten(store: Store, connection: AsyncConnection, position: int) -> None:
    """Remember up to where the log has gaps: nobody can go on from before that."""
    new = store.upsert(relay).values(name=FORGOTTEN, position=position)
    further = new.excluded.position > relay.c.position
    await connection.execute(
        new.on_conflict_do_update(index_elements=["name"], set_={"position": new.excluded.position}, where=further)
    )


async def _page(store: Store, connection: AsyncConnection, before: Instant, place: int) -> int:
    announced = select(relay.c.position).where(relay.c.name == NAME).scalar_subquery()
    query = (
        select(updates.c.position, updates.c.created_at)
        .where(updates.c.position > place, updates.c.position <= announced)
        .order_by(updates.c.position)
        .limit(PAGE)
    )
    rows = (await connection.execute(query)).all()
    last = max((row.position for row in rows if row.created_at < before), default=0)
    if not last:
        return 0
    newer = updates.alias("newer")
    followed = exists().where(
        newer.c.org_id == updates.c.org_id,
        newer.c.mailbox_id == updates.c.mailbox_id,
        newer.c.position > updates.c.position,
    )
    old = (updates.c.position > place, updates.c.position <= last, updates.c.created_at < before)
    deleted = delete(updates).where(*old, or_(followed, updates.c.type == REMOVED)).returning(updates.c.position)
    if gone := (await connection.execute(deleted)).scalars().all():
        await _note_forgotten(store, connection, max(gone))
    return last if len(rows) == PAGE and last == rows[-1].position else 0
