"""The update log reaches the consumers' exchange: in order, at least once, by one replica at a time."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Sequence

import msgspec
import pytest
from sqlalchemy import select

from services.publisher import relay as relaying
from services.publisher.bell import Bell
from services.publisher.departure import depart
from services.publisher.news import ORG_REMOVED, UPDATED
from services.publisher.relay import begin, relay, relay_page
from services.publisher.timelines import publish
from shared.broker import Broker
from shared.contracts.values import Bucket
from shared.errors import Retry
from shared.health import Health
from shared.store import Store, open_store
from shared.tables import orgs
from shared.tables import relay as cursors
from tests.contracts.contracts import consumers
from tests.unit.publisher.readings import MONDAY, busy, connect, event, snapshot, unreadable

Event = tuple[str, bytes, dict[str, str]]


class Exchange:
    """A broker that notes what is announced; it can be away, confirm late, or lose the confirms of a page."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fails = 0
        self.open = asyncio.Event()
        self.open.set()
        self.confirms = asyncio.Event()
        self.confirms.set()
        self.asked = asyncio.Event()

    def announce(self, events: Sequence[Event]) -> Awaitable[bool]:
        """Take the events at once where the exchange is open; lose the confirms while `fails` is above zero."""
        self.asked.set()
        if not self.open.is_set():
            return asyncio.ensure_future(self._later())
        self.events.extend(events)
        return asyncio.ensure_future(self._confirmed())

    async def _later(self) -> bool:
        await self.open.wait()
        return False

    async def _confirmed(self) -> bool:
        await self.confirms.wait()
        if self.fails:
            self.fails -= 1
            raise ConnectionResetError
        return True

    @property
    def sequences(self) -> list[int]:
        """The positions announced, in order."""
        return [int(headers["id"]) for _, _, headers in self.events]

    def as_broker(self) -> Broker:
        """Pass for a broker: the relay needs no more of one."""
        return self  # type: ignore[return-value]


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    await begin(opened)
    yield opened
    await opened.close()


async def fill(store: Store, count: int, *, first: int = 0) -> None:
    await publish(store, [snapshot(mailbox_id=f"m-{n}") for n in range(first, first + count)], now=MONDAY)


async def until(exchange: Exchange, count: int) -> None:
    async with asyncio.timeout(10):
        while len(exchange.events) < count:
            await asyncio.sleep(0.01)


async def test_an_update_is_announced_as_a_structured_cloud_event(store: Store) -> None:
    exchange = Exchange()
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    assert await relay_page(store, exchange.as_broker()) == 1
    ((routing_key, body, headers),) = exchange.events
    msgspec.json.decode(body, type=consumers()[UPDATED])
    assert routing_key == "acme.m-0001"
    told = json.loads(body)
    assert (told["source"], told["subject"], told["orgid"]) == ("/v1/orgs/acme", "m-0001", "acme")
    assert (told["id"], told["sequence"], told["time"]) == ("0" * 18 + "1", "0" * 18 + "1", "2026-01-05T00:00:00Z")
    assert told["data"]["from"] == "2026-01-05T00:00:00Z"
    copied = {name: headers[f"cloudEvents_{name}"] for name in ("id", "type", "source", "subject")}
    assert copied == {name: told[name] for name in copied}


async def test_updates_are_announced_once_each_in_order_of_position(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "PAGE", 300)
    exchange = Exchange()
    for first in range(0, 700, 100):
        await fill(store, 100, first=first)
    pages = [await relay_page(store, exchange.as_broker()) for _ in range(4)]
    assert pages == [300, 300, 100, 0]
    assert exchange.sequences == sorted(set(exchange.sequences))
    assert len(exchange.events) == 700


async def test_a_page_without_its_confirms_is_announced_again(store: Store) -> None:
    exchange = Exchange()
    await fill(store, 3)
    exchange.fails = 1
    with pytest.raises(Retry):
        await relay_page(store, exchange.as_broker())
    await relay_page(store, exchange.as_broker())
    assert exchange.sequences == [1, 2, 3, 1, 2, 3]


async def test_what_an_older_generation_published_is_not_announced_any_more(store: Store) -> None:
    exchange = Exchange()
    await publish(store, [snapshot(events=(event(9, 10, "secret plan"),)), snapshot(mailbox_id="gone")], now=MONDAY)
    await connect(store, generation=2)
    await publish(
        store,
        [
            snapshot(version=2, generation=2),
            unreadable(Bucket.EXCLUDED, mailbox_id="gone", version=2, generation=2),
        ],
        now=MONDAY,
    )
    await relay_page(store, exchange.as_broker())
    assert [headers["type"] for _, _, headers in exchange.events] == ["availability.updated.v1", "mailbox.removed.v1"]
    assert b"secret plan" not in b"".join(body for _, body, _ in exchange.events)


async def test_one_replica_at_a_time_announces(store: Store) -> None:
    if store.is_sqlite:
        pytest.skip("SQLite has one process, and so one relay")
    exchange, other = Exchange(), Exchange()
    exchange.open.clear()
    await fill(store, 2)
    first = asyncio.create_task(relay_page(store, exchange.as_broker()))
    await exchange.asked.wait()
    assert await relay_page(store, other.as_broker()) == 0
    exchange.open.set()
    assert await first == 2
    assert other.events == []


async def test_a_relay_that_was_cancelled_leaves_its_page_to_the_next(store: Store) -> None:
    exchange, other = Exchange(), Exchange()
    exchange.open.clear()
    await fill(store, 2)
    first = asyncio.create_task(relay_page(store, exchange.as_broker()))
    await exchange.asked.wait()
    first.cancel()
    await asyncio.wait([first])
    assert await relay_page(store, other.as_broker()) == 2


async def test_a_broker_that_stays_away_is_no_error_of_the_log(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "PATIENCE", 0.05)
    exchange = Exchange()
    exchange.open.clear()
    await fill(store, 2)
    with pytest.raises(Retry) as pause:
        await relay_page(store, exchange.as_broker())
    assert pause.value.reason == "broker_unavailable"
    async with store.read() as connection:
        assert (await connection.execute(select(cursors.c.position))).scalar_one() == 0


async def test_the_relay_goes_on_when_woken_and_by_itself_and_ends_when_told(store: Store) -> None:
    exchange, bell, stop, health = Exchange(), Bell(), asyncio.Event(), Health()
    running = asyncio.create_task(relay(store, exchange.as_broker(), health=health, bell=bell, stop=stop))
    await fill(store, 1)
    bell.ring()
    await until(exchange, 1)
    await fill(store, 1, first=1)  # nobody wakes it: another replica wrote
    await until(exchange, 2)
    assert health.ready
    stop.set()
    await asyncio.wait_for(running, 5)


async def test_a_relay_whose_broker_fails_goes_on_later(store: Store) -> None:
    exchange, bell, stop, health = Exchange(), Bell(), asyncio.Event(), Health()
    exchange.fails = 1
    await fill(store, 1)
    running = asyncio.create_task(relay(store, exchange.as_broker(), health=health, bell=bell, stop=stop))
    await until(exchange, 2)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert exchange.sequences == [1, 1]


async def raise_generation(store: Store, *, generation: int = 2, state: str = "connected") -> None:
    """Raise it as the authorizer does: under the publication lock."""
    changed = orgs.update().where(orgs.c.org_id == "acme").values(generation=generation, state=state)
    async with store.write() as connection:
        await store.publication_lock(connection)
        await connection.execute(changed)


@pytest.mark.parametrize(("generation", "state"), [(2, "connected"), (2, "disconnecting"), (1, "disconnecting")])
async def test_nothing_of_an_older_generation_is_sent_to_a_broker_that_comes_back(
    store: Store, generation: int, state: str
) -> None:
    exchange = Exchange()
    exchange.open.clear()
    await publish(store, [snapshot(events=(event(9, 10, "secret plan"),))], now=MONDAY)
    page = asyncio.create_task(relay_page(store, exchange.as_broker()))
    await exchange.asked.wait()
    await asyncio.wait_for(raise_generation(store, generation=generation, state=state), 5)
    exchange.open.set()
    assert await asyncio.wait_for(page, 5) == 1
    assert exchange.events == []
    assert await relay_page(store, exchange.as_broker()) == 0


async def test_what_was_deleted_from_the_log_meanwhile_is_not_sent_to_a_broker_that_comes_back(store: Store) -> None:
    exchange = Exchange()
    exchange.open.clear()
    await fill(store, 2)
    page = asyncio.create_task(relay_page(store, exchange.as_broker()))
    await exchange.asked.wait()
    await publish(store, [unreadable(Bucket.REMOVED, mailbox_id="m-0", version=2)], now=MONDAY)
    exchange.open.set()
    await page
    await relay_page(store, exchange.as_broker())
    assert [(headers["cloudEvents_subject"], headers["type"]) for _, _, headers in exchange.events] == [
        ("m-1", "availability.updated.v1"),
        ("m-0", "mailbox.removed.v1"),
    ]


async def test_an_org_that_needs_attention_is_still_told_of(store: Store) -> None:
    exchange = Exchange()
    await fill(store, 1)
    await connect(store, state="attention")
    await relay_page(store, exchange.as_broker())
    assert exchange.sequences == [1]


async def test_a_generation_is_raised_while_confirms_are_awaited(store: Store) -> None:
    exchange = Exchange()
    exchange.confirms.clear()
    await fill(store, 1)
    page = asyncio.create_task(relay_page(store, exchange.as_broker()))
    await until(exchange, 1)
    await asyncio.wait_for(raise_generation(store), 5)
    exchange.confirms.set()
    assert await page == 1


async def test_the_end_of_an_org_is_announced_though_its_row_is_gone(store: Store) -> None:
    exchange = Exchange()
    await fill(store, 3)
    await raise_generation(store, state="disconnecting")
    await depart(store, "acme", 2, now=MONDAY)
    async with store.write() as connection:
        await connection.execute(orgs.delete())
    await relay_page(store, exchange.as_broker())
    ((routing_key, body, headers),) = exchange.events
    told = msgspec.json.decode(body, type=consumers()[ORG_REMOVED])
    assert (routing_key, headers["type"], headers["cloudEvents_subject"]) == ("acme._", "org.removed.v1", "acme")
    assert json.loads(msgspec.json.encode(told))["data"] == {"org_id": "acme", "reason": "disconnected"}
    assert json.loads(body)["subject"] == "acme"


async def test_no_update_of_an_org_that_is_gone_is_announced(store: Store) -> None:
    exchange = Exchange()
    await fill(store, 2)
    async with store.write() as connection:
        await connection.execute(orgs.delete())
    assert await relay_page(store, exchange.as_broker()) == 2
    assert exchange.events == []


async def test_a_live_update_does_not_wait_for_others_to_be_told_with_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "LINGER", 60.0)
    monkeypatch.setattr(relaying, "POLL", 60.0)
    exchange, bell, stop, health = Exchange(), Bell(), asyncio.Event(), Health()
    await fill(store, 1)
    running = asyncio.create_task(relay(store, exchange.as_broker(), health=health, bell=bell, stop=stop))
    await until(exchange, 1)  # found without a bell
    await fill(store, 1, first=1)
    bell.ring()
    await asyncio.wait({running}, timeout=0.2)
    assert exchange.sequences == [1]
    bell.ring(hurry=True)
    await until(exchange, 2)
    stop.set()
    await asyncio.wait_for(running, 5)
