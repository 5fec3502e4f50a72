"""Edge: the update log to the consumers' exchange, in order of position and at least once, by one replica at a time.

It refuses to announce what an older generation published: a policy made stricter, or an end, has come since (rule 3).
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.envelope import Told, announcement
from services.publisher.news import UPDATED
from shared import logs
from shared.broker import Broker
from shared.errors import Retry
from shared.health import Health
from shared.reach import reached
from shared.store import Store
from shared.tables import orgs, updates
from shared.tables import relay as cursors

NAME = "availability"
PAGE = 300
POLL = 0.5  # seconds until the log is looked at without having been woken
LINGER = 0.025  # seconds the relay, woken, waits for more to tell at once
PATIENCE = 30.0  # seconds a page may wait for the broker before another replica may try


class Page(Struct, frozen=True):
    """Rows to announce, how many were looked at, and the position reached with them."""

    told: tuple[Told, ...]
    looked_at: int
    last: int


async def relay(store: Store, broker: Broker, *, health: Health, woken: asyncio.Event, stop: asyncio.Event) -> None:
    """Announce the update log until `stop` is set. `woken` is set by the writer in the same process."""
    begun = False
    health.set("publisher.relay", ready=False)
    while not stop.is_set():
        woken.clear()
        looked_at = 0
        try:
            if not begun:
                await begin(store)
                begun = True
            looked_at = await relay_page(store, broker)
            health.set("publisher.relay", ready=True)
        except Retry as pause:
            health.set("publisher.relay", ready=False)
            logs.get("publisher").warning("relay.paused", reason=pause.reason)
        if looked_at < PAGE:
            await _until(woken, stop)
            await asyncio.sleep(LINGER)


async def begin(store: Store) -> None:
    """Lay down the cursor at the log's beginning, where there is none. Raises Retry."""
    async with reached(), store.write() as connection:
        first = store.upsert(cursors).values(name=NAME, position=0)
        await connection.execute(first.on_conflict_do_nothing(index_elements=["name"]))


async def relay_page(store: Store, broker: Broker) -> int:
    """Announce the next page of the log and return how many rows it had; 0 too where another replica is at it.

    Raises Retry where the database cannot be reached or the broker stays away.
    """
    async with reached():
        return await (_page_alone(store, broker) if store.is_sqlite else _page_in_turn(store, broker))


async def _page_in_turn(store: Store, broker: Broker) -> int:
    """Hold the cursor's row while announcing: the other replicas skip it."""
    async with store.write() as connection:
        locked = _cursor().with_for_update(skip_locked=True)
        position = (await connection.execute(locked)).scalar_one_or_none()
        if position is None:
            return 0
        page = await _page(connection, position)
        await _announce(broker, page.told)
        await _advance(connection, page.last)
    return page.looked_at


async def _page_alone(store: Store, broker: Broker) -> int:
    """SQLite has one process and one writer: announce without holding its lock, then remember."""
    async with store.read() as connection:
        page = await _page(connection, (await connection.execute(_cursor())).scalar_one())
    if page.looked_at:
        await _announce(broker, page.told)
        async with store.write() as connection:
            await _advance(connection, page.last)
    return page.looked_at


def _cursor() -> Select[int]:
    return select(cursors.c.position).where(cursors.c.name == NAME)


async def _page(connection: AsyncConnection, position: int) -> Page:
    query = (
        select(updates, orgs.c.generation.label("present"))
        .outerjoin(orgs, orgs.c.org_id == updates.c.org_id)
        .where(updates.c.position > position)
        .order_by(updates.c.position)
        .limit(PAGE)
    )
    found = (await connection.execute(query)).all()
    told = tuple(_told(row) for row in found if row.type != UPDATED or row.generation == row.present)
    return Page(told, len(found), found[-1].position if found else position)


def _told(row: Row[Any]) -> Told:
    return Told(
        position=row.position,
        org_id=row.org_id,
        mailbox_id=row.mailbox_id,
        type=row.type,
        created_at=row.created_at,
        body=row.body,
    )


async def _announce(broker: Broker, rows: Sequence[Told]) -> None:
    if not rows:
        return
    try:
        async with asyncio.timeout(PATIENCE):
            await broker.announce([announcement(told) for told in rows])
    except OSError as error:  # TimeoutError is one of them
        raise Retry("broker_unavailable", counted=False) from error


async def _advance(connection: AsyncConnection, position: int) -> None:
    ahead = cursors.update().where(cursors.c.name == NAME, cursors.c.position < position)
    await connection.execute(ahead.values(position=position))


async def _until(woken: asyncio.Event, stop: asyncio.Event) -> None:
    """Wait to be woken, for the next poll, or for the end."""
    waiting = [asyncio.ensure_future(woken.wait()), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(waiting, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
