import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import insert, update

import services.fetcher.polling
from services.fetcher.context import Context
from services.fetcher.due import MARKED
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.polling import AGAIN, BACKFILL, LANES, PAGE, ROOM, UNSETTLED, poll, publish_due
from services.fetcher.settings import Settings
from shared import clock, logs
from shared.broker import topology
from shared.contracts.messages import MailboxRead
from shared.store import Store, open_store
from shared.tables import mailboxes, orgs
from tests.unit.fetcher.lanes import connect
from tests.waiting import until

NOW = 1_790_000_000


class Queue:
    """Stands where the broker stands: what was published, and how much is said to wait; it can be away."""

    def __init__(self) -> None:
        self.sent: list[MailboxRead] = []
        self.waiting = 0
        self.asked: list[float] = []
        self.away = False

    async def publish(self, messages: Sequence[MailboxRead]) -> None:
        if self.away:
            raise OSError
        self.sent += messages

    async def depth(self, queue: str) -> int:
        assert queue in LANES.values()
        if self.away:
            raise OSError
        self.asked.append(asyncio.get_running_loop().time())
        return self.waiting if queue == BACKFILL else 0


class Log:
    """Keeps the names of what was logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, event: str, **_: object) -> None:
        self.lines.append(event)


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = open_store(sqlite_url)
    await connect(opened, "org1")
    yield opened
    await opened.close()


def context_of(store: Store, **fields: Any) -> Context:
    unused: Any = None
    base = {"store": store, "mailboxes": Mailboxes(store), "tenants": unused, "settings": Settings()}
    return Context(**base | {"log": logs.get("fetcher")} | fields)


async def put(store: Store, count: int, *, dirty: bool = False, org_id: str = "org1", due_at: int = NOW) -> None:
    base = {"kind": "user", "bucket": "active", "generation": 1, "version": 0, "failures": 0, "time_zone": ""}
    kind = "hot" if dirty else "idle"
    rows = [
        base
        | {"org_id": org_id, "mailbox_id": f"{kind}{number}", "address": f"{kind}{number}@example.org"}
        | {"dirty": dirty, "due_at": due_at}
        for number in range(count)
    ]
    async with store.write() as connection:
        await connection.execute(insert(mailboxes), rows)


async def test_hints_go_ahead_and_polls_go_the_backfill_lane(store: Store) -> None:
    queue: Any = Queue()
    await put(store, 3)
    await put(store, 2, dirty=True)
    look = await publish_due(context_of(store), queue, NOW)
    assert (look.published, look.more) == (5, False)
    assert [(each.live, each.since) for each in queue.sent] == [(True, MARKED)] * 2 + [(False, NOW)] * 3
    assert (await publish_due(context_of(store), queue, NOW + UNSETTLED - 1)).published == 0
    assert (await publish_due(context_of(store), queue, NOW + UNSETTLED)).published == 5


async def test_polls_stay_in_the_store_while_the_lane_is_full_and_hints_do_not(store: Store) -> None:
    queue: Any = Queue()
    await put(store, 30)
    await put(store, 2, dirty=True)
    queue.waiting = ROOM - 10
    look = await publish_due(context_of(store), queue, NOW)
    assert [each.live for each in queue.sent].count(False) == 10
    assert (look.published, look.more) == (12, True)
    async with store.write() as connection:
        await connection.execute(update(mailboxes).where(mailboxes.c.dirty).values(due_at=NOW))
    queue.waiting = ROOM + 5
    look = await publish_due(context_of(store), queue, NOW)
    assert (look.published, look.more) == (2, True)


async def test_the_lane_is_not_asked_about_where_nothing_is_due(store: Store) -> None:
    queue: Any = Queue()
    await put(store, 1, due_at=NOW + 1)
    await publish_due(context_of(store), queue, NOW)
    assert queue.asked == []


async def test_readings_of_exchange_mailboxes_wait_in_a_lane_of_their_own(store: Store) -> None:
    queue: Any = Queue()
    await connect(store, "exchange")
    async with store.write() as connection:
        await connection.execute(update(orgs).where(orgs.c.org_id == "exchange").values(kind="ews"))
    await put(store, 3)
    await put(store, 2, org_id="exchange")
    queue.waiting = ROOM  # of Graph's lane; the other's room is its own
    look = await publish_due(context_of(store), queue, NOW)
    assert {(each.org_id, each.exchange, each.live) for each in queue.sent} == {("exchange", True, False)}
    assert (look.published, look.more) == (2, True)
    assert {topology.queue_of(topology.EXCHANGE, topology.route(each)) for each in queue.sent} == {"fetcher.exchange"}


async def test_a_hint_about_an_exchange_mailbox_goes_the_live_lane(store: Store) -> None:
    queue: Any = Queue()
    await connect(store, "exchange")
    async with store.write() as connection:
        await connection.execute(update(orgs).where(orgs.c.org_id == "exchange").values(kind="ews"))
    await put(store, 1, org_id="exchange", dirty=True)
    await publish_due(context_of(store), queue, NOW)
    assert [topology.queue_of(topology.EXCHANGE, topology.route(each)) for each in queue.sent] == ["fetcher.live"]


@asynccontextmanager
async def polling(context: Context, queue: Any) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(poll(context, queue, stop))
    try:
        yield
    finally:
        stop.set()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let polling look of itself only once within a test."""
    monkeypatch.setattr(services.fetcher.polling, "INTERVAL", 600.0)


@pytest.mark.usefixtures("seldom")
async def test_a_full_page_is_followed_by_the_next_without_hammering(store: Store) -> None:
    queue: Any = Queue()
    await put(store, 2 * PAGE + 1)
    async with polling(context_of(store), queue):
        await until(lambda: len(queue.sent) == 2 * PAGE + 1)
    assert len({each.mailbox_id for each in queue.sent}) == 2 * PAGE + 1
    pauses = [later - earlier for earlier, later in zip(queue.asked, queue.asked[1:], strict=False)]
    assert all(pause >= AGAIN * 0.99 for pause in pauses)


@pytest.mark.usefixtures("seldom")
async def test_polling_that_is_told_looks_at_once_for_hints_alone(store: Store) -> None:
    queue: Any = Queue()
    context = context_of(store)
    async with polling(context, queue):
        await put(store, 1)
        await until(lambda: len(queue.sent) == 1)
        for number in range(3):
            async with store.write() as connection:
                await connection.execute(update(mailboxes).values(dirty=True, due_at=NOW))
            context.due.set()
            await until(lambda: len(queue.sent) == number + 2)  # noqa: B023 -- awaited within its turn
    assert [each.live for each in queue.sent] == [False, True, True, True]
    assert len(queue.asked) == 1


async def test_a_broker_that_is_away_is_logged_once_and_asked_again(store: Store) -> None:
    queue: Any = Queue()
    log: Any = Log()
    queue.away = True
    await put(store, 1, dirty=True, due_at=clock.now())
    context = context_of(store, log=log)
    async with polling(context, queue):
        for _ in range(3):
            context.due.set()
            await until(lambda: not context.due.is_set())
        await until(lambda: log.lines == ["polling.failed"])
        queue.away = False
        async with store.write() as connection:
            await connection.execute(update(mailboxes).values(due_at=NOW))
        context.due.set()
        await until(lambda: len(queue.sent) == 1)
    assert log.lines == ["polling.failed"]


async def test_orgs_share_what_room_there_is(store: Store) -> None:
    queue: Any = Queue()
    await connect(store, "org2")
    await put(store, 2000)
    await put(store, 3, org_id="org2", due_at=NOW - 1)
    queue.waiting = ROOM - 20
    await publish_due(context_of(store), queue, NOW)
    assert [each.org_id for each in queue.sent].count("org2") == 3
