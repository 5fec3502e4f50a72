"""A long log told in turns: the next page goes out while one is confirmed, and never before one that was lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Sequence
from types import SimpleNamespace

import pika
import pytest
from pika.exceptions import StreamLostError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher import relay as relaying
from services.publisher.relay import Event, Page, begin, relay_turn
from services.publisher.timelines import publish
from shared.broker import Broker, address, wire
from shared.broker.announcer import Announcer
from shared.errors import Retry
from shared.store import Store, open_store
from shared.tables import relay as cursors
from tests.unit.publisher.readings import MONDAY, connect, snapshot
from tests.waiting import until


class Line:
    """The real announcer on a channel that is a fake: it notes what is written, and confirms when it is told to."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.is_open = True
        self.connection = self
        self.channel_number = 1
        self.announcer = Announcer(address.parse("amqp://127.0.0.1:1/"), self._nothing)
        self.announcer._keeper = asyncio.create_task(asyncio.sleep(0))  # no connection is opened
        self.back()

    def back(self) -> None:
        """Be connected, anew."""
        self.announcer._channel = self
        self.announcer._note_fitness()

    def lost(self) -> None:
        """Lose the connection with all that is not confirmed."""
        self.announcer._on_lost(StreamLostError())

    def write(self, letters: Sequence[wire.Letter], _number: int) -> None:
        """Take messages."""
        self.written += [int(letter.message_id) for letter in letters]

    def confirm(self, number: int, *, kept: bool = True) -> None:
        """Confirm the next so many letters, or say that they are not kept."""
        confirms = self.announcer._confirms
        tag = min(confirms.upto + number, confirms.given)
        method = (pika.spec.Basic.Ack if kept else pika.spec.Basic.Nack)(delivery_tag=tag, multiple=True)
        self.announcer._on_confirm(SimpleNamespace(method=method))

    @property
    def outstanding(self) -> int:
        """How many letters wait for their confirms."""
        return self.announcer._confirms.outstanding

    def announce(self, events: Sequence[Event]) -> Awaitable[bool]:
        """Announce as the broker does."""
        letters = [wire.announcement(*event, now=1) for event in events]
        return asyncio.ensure_future(self._told(self.announcer.announce(letters)))

    async def _told(self, told: Awaitable[bool]) -> bool:
        return await told

    async def _nothing(self) -> None:
        """Prepare nothing."""

    def as_broker(self) -> Broker:
        """Pass for a broker: the relay needs no more of one."""
        return self  # type: ignore[return-value]


@pytest.fixture
async def store(store_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setattr(relaying, "PAGE", 4)
    opened = open_store(store_url)
    await connect(opened)
    await begin(opened)
    yield opened
    await opened.close()


@pytest.fixture
async def line() -> Line:
    return Line()


async def fill(store: Store, count: int) -> None:
    await publish(store, [snapshot(mailbox_id=f"m-{n}") for n in range(count)], now=MONDAY)


async def reached_by(store: Store) -> int:
    async with store.read() as connection:
        return int((await connection.execute(select(cursors.c.position))).scalar_one())


async def test_the_next_page_goes_out_while_the_one_before_is_being_confirmed(store: Store, line: Line) -> None:
    await fill(store, 10)
    turn = asyncio.create_task(relay_turn(store, line.as_broker(), pages=5))
    await until(lambda: len(line.written) == 4)
    line.confirm(2)
    await until(lambda: len(line.written) == 8)
    assert await reached_by(store) == 0
    line.confirm(2)
    await until_reached(store, 4)
    line.confirm(2)
    await until(lambda: len(line.written) == 10)
    line.confirm(10)
    assert await turn == 10
    assert await reached_by(store) == 10
    assert line.written == list(range(1, 11))


async def until_reached(store: Store, position: int) -> None:
    async with asyncio.timeout(60):
        while await reached_by(store) < position:
            await asyncio.sleep(0.01)


async def test_both_pages_under_way_are_told_anew_in_order_where_the_connection_is_lost(
    store: Store, line: Line
) -> None:
    await fill(store, 8)
    turn = asyncio.create_task(relay_turn(store, line.as_broker(), pages=5))
    await until(lambda: len(line.written) == 4)
    line.confirm(3)
    await until(lambda: len(line.written) == 8)
    line.lost()
    with pytest.raises(Retry):
        await turn
    line.back()
    again = asyncio.create_task(relay_turn(store, line.as_broker(), pages=1))
    await until(lambda: len(line.written) == 12)
    assert line.written == [*range(1, 9), *range(1, 5)]
    line.confirm(4)
    assert await again == 4


async def test_no_page_is_told_on_a_new_connection_while_the_one_before_is_lost(
    store: Store, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = relaying._allowed

    async def meanwhile(connection: AsyncConnection, page: Page) -> Sequence[Event]:
        """Lose the connection and have another just before the second page would be written."""
        if min(page.letters) > 1:
            line.lost()
            await asyncio.sleep(0)
            line.back()
        return await allowed(connection, page)

    monkeypatch.setattr(relaying, "_allowed", meanwhile)
    await fill(store, 8)
    turn = asyncio.create_task(relay_turn(store, line.as_broker(), pages=5))
    await until(lambda: len(line.written) == 4)
    line.confirm(2)
    with pytest.raises(Retry):
        await turn
    assert line.written == [1, 2, 3, 4]


async def test_a_page_that_found_no_broker_is_looked_at_anew_before_the_next(store: Store, line: Line) -> None:
    await fill(store, 6)
    line.announcer._on_blocked()
    turn = asyncio.create_task(relay_turn(store, line.as_broker(), pages=5))
    await asyncio.wait({turn}, timeout=0.2)
    assert line.written == []
    line.announcer._on_unblocked()
    await until(lambda: len(line.written) == 4)
    line.confirm(4)
    await until(lambda: len(line.written) == 6)
    line.confirm(2)
    assert await turn == 6
    assert line.written == [1, 2, 3, 4, 5, 6]


async def test_whatever_happens_to_connections_nothing_is_missed_and_what_is_new_comes_in_order(
    sqlite_url: str, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "PAGE", 5)
    store, chance, stop = open_store(sqlite_url), random.Random(6), asyncio.Event()
    await connect(store)
    await begin(store)
    await fill(store, 150)

    async def trouble() -> None:
        """Confirm a few letters at a time, and lose the connection now and then."""
        while not stop.is_set():
            if chance.random() < 0.1:
                line.lost()
                await asyncio.sleep(0)
                line.back()
            elif line.outstanding:
                line.confirm(chance.randint(1, 4))
            await asyncio.sleep(0.001)

    troubled = asyncio.create_task(trouble())
    async with asyncio.timeout(60):
        while await reached_by(store) < 150:
            try:
                await relay_turn(store, line.as_broker(), pages=8)
            except Retry:
                continue
    stop.set()
    await troubled
    await store.close()
    assert list(dict.fromkeys(line.written)) == list(range(1, 151))
    assert len(line.written) > 150
