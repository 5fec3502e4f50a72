"""Edge: the update log to the consumers' exchange, in order of position and at least once, by one replica at a time.

It refuses to announce what an older generation published: a policy made stricter, or an end, has come since (rule 3).
That is looked at under the publication lock, and what may be said is handed to the broker before the lock is free: once
a raised generation is committed, nothing of the one before is sent, however long the broker was away.

A long log is told in turns of several pages: while one is being confirmed, the next is read and handed over. That is
done only on the connection that has the one before: where it is lost, both are told anew, in order.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct
from sqlalchemy import and_, func, select, text
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
NAME: Final = "availability"
PAGE = 1000
TURN: Final = 20  # pages after which it is looked at again whether to stop
POLL = 0.5  # seconds until the log is looked at without having been woken
LINGER = 0.025  # seconds the relay, woken, waits for more to tell at once, unless a live one came
PATIENCE = 30.0  # seconds a page may wait for the broker before another replica may try
RELAYING: Final = 0x42_75_73_7A  # any number of ours; the lock that a replica holds while it announces


class Page(Struct, frozen=True):
    """Rows of the log in order, each as what is announced of it, by position; and the position reached with them."""

    letters: Mapping[int, Event]
    last: int


class Handed(Struct):
    """A page with the broker, and what gives True once it is confirmed; False where it was not taken after all."""

    page: Page
    told: asyncio.Future[bool]


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
            looked_at = await relay_turn(store, broker, pages=TURN)
            health.set("publisher.relay", ready=True)
        except Retry as pause:
            health.set("publisher.relay", ready=False)
            logs.get("publisher").warning("relay.paused", reason=pause.reason)
        if looked_at < PAGE * TURN:
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
    return await relay_turn(store, broker, pages=1)


async def relay_turn(store: Store, broker: Broker, *, pages: int) -> int:
    """Announce up to so many pages, until the log ends, and return how many rows they had. Raises as `relay_page`."""
    async with reached(), _alone(store) as alone:
        return await _turn(store, broker, pages) if alone else 0


@asynccontextmanager
async def _alone(store: Store) -> AsyncIterator[bool]:
    """Give whether no other replica announces while the block runs. SQLite has one process, and so one relay."""
    if store.is_sqlite:
        yield True
        return
    async with store.write() as connection:
        lock = text("SELECT pg_try_advisory_xact_lock(:key)")
        yield bool((await connection.execute(lock, {"key": RELAYING})).scalar_one())


async def _turn(store: Store, broker: Broker, pages: int) -> int:
    position, number = await _position(store), 0
    behind: Handed | None = None
    for _ in range(pages):
        page = await _page(store, position)
        if page.letters:
            behind = await _told_next(store, broker, page, behind=behind)
        position, number = page.last, number + len(page.letters)
        if len(page.letters) < PAGE:
            break
    if behind is not None:
        await _end(store, broker, behind)
    return number


async def _told_next(store: Store, broker: Broker, page: Page, *, behind: Handed | None) -> Handed:
    """Hand a page over as soon as the broker answers for the one behind it; return once that one is confirmed."""
    async with _patience():
        if behind is not None:
            await _taken(store, broker, behind)
        ahead = Handed(page, await _handed_over(store, broker, page, behind=behind))
    if behind is not None:
        await _end(store, broker, behind)
    return ahead


async def _taken(store: Store, broker: Broker, handed: Handed) -> None:
    """Return once the broker has this page and would take another. Where it was not there before, look anew."""
    while True:
        await broker.announce(())
        if not handed.told.done() or handed.told.result():
            return
        handed.told = await _handed_over(store, broker, handed.page)


async def _end(store: Store, broker: Broker, handed: Handed) -> None:
    """Wait until a page is confirmed, and remember it. Where the broker was not there to take it, look anew."""
    async with _patience():
        while not await handed.told:
            handed.told = await _handed_over(store, broker, handed.page)
    async with store.write() as connection:
        await _advance(connection, handed.page.last)


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    """Raise Retry where the broker is lost, or does not do within a time what is waited for."""
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except OSError as error:  # TimeoutError is one of them
        raise Retry("broker_unavailable", counted=False) from error


async def _handed_over(
    store: Store, broker: Broker, page: Page, *, behind: Handed | None = None
) -> "asyncio.Future[bool]":
    """Hand to the broker what may be announced, under the lock that raising a generation takes.

    Raises ConnectionError where the page behind was lost: nothing may come before it.
    """
    async with store.write() as connection:
        await store.publication_lock(connection)
        events = await _allowed(connection, page)
        if behind is not None and behind.told.done() and not behind.told.result():
            raise ConnectionResetError
        told = asyncio.ensure_future(broker.announce(events) if events else _nothing())
    told.add_done_callback(_seen)
    return told


async def _nothing() -> bool:
    return True


def _seen(told: "asyncio.Future[bool]") -> None:
    """Look at the outcome of a page that nobody may be waiting for any more."""
    if not told.cancelled():
        told.exception()


async def _position(store: Store) -> int:
    query = select(cursors.c.position).where(cursors.c.name == NAME)
    async with store.read() as connection:
        return int((await connection.execute(query)).scalar_one())


async def _page(store: Store, position: int) -> Page:
    names = Told.__struct_fields__
    after = select(*(updates.c[name] for name in names)).where(updates.c.position > position)
    async with store.read() as connection:
        rows = (await connection.execute(after.order_by(updates.c.position).limit(PAGE))).all()
    told = [Told(**dict(zip(names, row, strict=True))) for row in rows]
    return Page({each.position: announcement(each) for each in told}, told[-1].position if told else position)


async def _allowed(connection: AsyncConnection, page: Page) -> Sequence[Event]:
    """Return what may be announced of a page: what still stands in the log, updates only of what is in force.

    Nothing comes to stand between its first row and its last: positions rise in the order of commits.
    """
    standing = updates.outerjoin(orgs, orgs.c.org_id == updates.c.org_id)
    within = and_(updates.c.position.between(min(page.letters), page.last), may_be_told())
    number = (await connection.execute(select(func.count()).select_from(standing).where(within))).scalar_one()
    if number == len(page.letters):
        return tuple(page.letters.values())
    query = select(updates.c.position).select_from(standing).where(within).order_by(updates.c.position)
    return [page.letters[each] for each in (await connection.execute(query)).scalars()]


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
