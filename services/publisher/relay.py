"""Edge: the update log to the consumers' exchange, in order of position and at least once, by one replica at a time.

It refuses to announce what an older generation published: a policy made stricter, or an end, has come since (rule 3).
That is looked at under the publication lock, and what may be said is handed to the broker before the lock is free: once
a raised generation is committed, nothing of the one before is sent, however long the broker was away.
"""

import asyncio
from collections.abc import Mapping, Sequence

from msgspec import Struct
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.bell import Bell
from services.publisher.envelope import Told, announcement
from services.publisher.log import may_be_told
from shared import logs
from shared.broker import Broker
from shared.errors import Retry
from shared.health import Health
from shared.reach import reached
from shared.store import Store
from shared.tables import orgs, updates
from shared.tables import relay as cursors

Event = tuple[str, bytes, dict[str, str]]
NAME = "availability"
PAGE = 300
POLL = 0.5  # seconds until the log is looked at without having been woken
LINGER = 0.025  # seconds the relay, woken, waits for more to tell at once, unless a live one came
PATIENCE = 30.0  # seconds a page may wait for the broker before another replica may try


class Page(Struct, frozen=True):
    """Rows of the log in order, and the position reached with them."""

    rows: tuple[Told, ...]
    last: int


async def relay(store: Store, broker: Broker, *, health: Health, bell: Bell, stop: asyncio.Event) -> None:
    """Announce the update log until `stop` is set."""
    begun = False
    health.set("publisher.relay", ready=False)
    while not stop.is_set():
        bell.hush()
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
            await _until(bell.woken, stop, seconds=POLL)
            await _until(bell.hurried, stop, seconds=LINGER)


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
        await _announce(store, broker, page)
        await _advance(connection, page.last)
    return len(page.rows)


async def _page_alone(store: Store, broker: Broker) -> int:
    """SQLite has one process and one writer: wait for the broker without holding its lock, then remember."""
    async with store.read() as connection:
        page = await _page(connection, (await connection.execute(_cursor())).scalar_one())
    if page.rows:
        await _announce(store, broker, page)
        async with store.write() as connection:
            await _advance(connection, page.last)
    return len(page.rows)


def _cursor() -> Select[int]:
    return select(cursors.c.position).where(cursors.c.name == NAME)


async def _page(connection: AsyncConnection, position: int) -> Page:
    columns = [updates.c[name] for name in Told.__struct_fields__]
    query = select(*columns).where(updates.c.position > position).order_by(updates.c.position).limit(PAGE)
    rows = tuple(Told(**row) for row in (await connection.execute(query)).mappings())
    return Page(rows, rows[-1].position if rows else position)


async def _announce(store: Store, broker: Broker, page: Page) -> None:
    """Announce a page. Where the broker was not there to take it, look anew at what may be said by then."""
    if not page.rows:
        return
    letters = {told.position: announcement(told) for told in page.rows}
    try:
        async with asyncio.timeout(PATIENCE):
            while not await _handed_over(store, broker, letters):
                pass
    except OSError as error:  # TimeoutError is one of them
        raise Retry("broker_unavailable", counted=False) from error


async def _handed_over(store: Store, broker: Broker, letters: Mapping[int, Event]) -> bool:
    """Hand to the broker what may be announced, under the lock that raising a generation takes; wait without it."""
    async with store.write() as connection:
        await store.publication_lock(connection)
        allowed = await _allowed(connection, min(letters), max(letters))
        if not (events := [letters[position] for position in allowed if position in letters]):
            return True
        confirmed = broker.announce(events)
    return await confirmed


async def _allowed(connection: AsyncConnection, first: int, last: int) -> Sequence[int]:
    """Return the positions that may be announced: what still stands in the log, updates only of what is in force."""
    query = (
        select(updates.c.position)
        .outerjoin(orgs, orgs.c.org_id == updates.c.org_id)
        .where(updates.c.position.between(first, last), may_be_told())
        .order_by(updates.c.position)
    )
    return (await connection.execute(query)).scalars().all()


async def _advance(connection: AsyncConnection, position: int) -> None:
    ahead = cursors.update().where(cursors.c.name == NAME, cursors.c.position < position)
    await connection.execute(ahead.values(position=position))


async def _until(rung: asyncio.Event, stop: asyncio.Event, *, seconds: float) -> None:
    """Wait for an event, for the time to be over, or for the end."""
    waiting = [asyncio.ensure_future(rung.wait()), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
