"""The fetcher's reading lanes at work in this process: a broker in memory, a store, a Graph of a few lines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

import msgspec
from aiohttp import web
from sqlalchemy import insert, select, update

from services.fetcher.context import Context
from services.fetcher.handler import read
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.polling import poll
from services.fetcher.settings import Settings
from shared import clock, connections, logs
from shared.broker import Broker, Consumer, Delivery, Done, open_broker
from shared.connections import Connected
from shared.contracts.messages import (
    CalendarSnapshot,
    ConnectionDoubted,
    GraphConnection,
    MailboxRead,
    MailboxUnreadable,
    Message,
)
from shared.contracts.policy import Policy
from shared.graph import GraphClient
from shared.store import Store, open_store
from shared.tables import mailboxes, orgs
from tests.unit.fetcher.graph_server import GraphServer, graph
from tests.waiting import until

_numbers = count(1)


class Tenants:
    """Stands where the tenants' clients stand: one Graph for all, no pause; doubts are counted."""

    def __init__(self, store: Store, client: GraphClient) -> None:
        self._store = store
        self._client = client
        self.doubts = 0

    async def org(self, org_id: str, *, at_least: int = 0) -> Connected | None:
        assert at_least >= 0
        return await connections.connected(self._store, org_id)

    def client(self, _: Connected) -> GraphClient:
        return self._client

    async def doubt(self, _: str, *, now: int) -> bool:
        assert now
        self.doubts += 1
        return self.doubts == 1


class Lanes:
    """Everything the lanes said, and what Graph holds: `calendars` counts the events of each mailbox."""

    def __init__(self, context: Context, broker: Broker, server: GraphServer) -> None:
        self.context = context
        self.broker = broker
        self.server = server
        self.calendars: dict[str, int] = {}
        self.snapshots: list[CalendarSnapshot] = []
        self.unreadable: list[MailboxUnreadable] = []
        self.doubts: list[ConnectionDoubted] = []
        self.handled = 0  # messages of both lanes
        self.stop = asyncio.Event()

    async def add(self, *names: str, org_id: str = "org1", **fields: Any) -> None:
        """Let mailboxes be known, not due for an hour, each with a calendar of one event."""
        base = {"kind": "user", "bucket": "active", "generation": 1, "version": 0, "dirty": False, "failures": 0}
        rows = [
            base
            | {"org_id": org_id, "mailbox_id": name, "address": f"{name}@example.org", "time_zone": ""}
            | {"due_at": clock.now() + 3600}
            | fields
            for name in names
        ]
        async with self.context.store.write() as connection:
            await connection.execute(insert(mailboxes), rows)
        for name in names:
            self.calendars[name] = 1
            self.server.reply(f"/users/{name}/calendarView", partial(self.answer, name))

    def answer(self, name: str, _: web.Request) -> web.Response:
        return web.json_response(page(self.calendars[name]))

    async def hint(self, *names: str) -> None:
        await self.broker.publish(
            [MailboxRead(org_id="org1", generation=1, mailbox_id=each, since=clock.now(), live=True) for each in names]
        )

    async def row(self, name: str) -> Any:
        async with self.context.store.read() as connection:
            return (await connection.execute(select(mailboxes).where(mailboxes.c.mailbox_id == name))).one()

    async def set_org(self, **values: Any) -> None:
        async with self.context.store.write() as connection:
            await connection.execute(update(orgs).values(values))

    async def set_row(self, *names: str, **values: Any) -> None:
        async with self.context.store.write() as connection:
            await connection.execute(update(mailboxes).where(mailboxes.c.mailbox_id.in_(names)).values(values))

    def asked(self, name: str) -> int:
        """Return how often Graph was asked for a mailbox's calendar."""
        return sum(1 for request in self.server.asked if f"/users/{name}/calendarView" in request.path)

    def seen(self, name: str) -> list[int]:
        """Return how many events each snapshot of a mailbox held, in order of version."""
        mine = [each for each in self.snapshots if each.mailbox.mailbox_id == name]
        return [len(each.events) for each in sorted(mine, key=lambda each: each.version)]

    async def quiet(self) -> None:
        """Wait until nothing is under way and no hint is owed anything."""

        async def settled() -> bool:
            waiting = [await self.broker.depth(lane) for lane in ("fetcher.live", "fetcher.backfill")]
            busy = (mailboxes.c.lease_id.is_not(None)) | mailboxes.c.dirty
            async with self.context.store.read() as connection:
                found = (await connection.execute(select(mailboxes.c.mailbox_id).where(busy))).first()
            return found is None and not any(waiting)

        await until(settled, 60)

    async def read(self, message: Message, delivery: Delivery) -> Done:
        assert isinstance(message, MailboxRead)
        done = await read(self.context, message, delivery)
        self.handled += 1
        return done

    async def take(self, message: Message, _: Delivery) -> Done:
        match message:
            case CalendarSnapshot():
                self.snapshots.append(message)
            case MailboxUnreadable():
                self.unreadable.append(message)
            case ConnectionDoubted():
                self.doubts.append(message)
        return Done()

    def consumers(self) -> list[Consumer]:
        after = ("normalizer.live", "normalizer.snapshots", "publisher.snapshots", "authorizer.reports")
        return [Consumer(name, self.take) for name in after]


@asynccontextmanager
async def lanes(store_url: str, *, settings: Settings | None = None, polling: bool = True) -> AsyncIterator[Lanes]:
    """Run both reading lanes, and polling beside them, over one connected org until the block ends."""
    store, broker = open_store(store_url), open_broker(f"memory://lanes{next(_numbers)}")
    chosen = settings or Settings()
    async with graph() as (server, client):
        tenants: Any = Tenants(store, client)
        context = Context(
            store=store, mailboxes=Mailboxes(store), tenants=tenants, settings=chosen, log=logs.get("fetcher"),
            patience=asyncio.Semaphore(max(1, chosen.readings // 2)),
        )  # fmt: skip
        await connect(store, "org1")
        at_work = Lanes(context, broker, server)
        tasks = _tasks(at_work, chosen, polling=polling)
        try:
            yield at_work
        finally:
            at_work.stop.set()
            context.due.set()  # polling may be waiting for that
            async with asyncio.timeout(60):
                await asyncio.gather(*tasks)
            await broker.close()
            await store.close()


def _tasks(at_work: Lanes, settings: Settings, *, polling: bool) -> list[asyncio.Task[None]]:
    both = [Consumer(f"fetcher.{lane}", at_work.read, settings.readings) for lane in ("live", "backfill")]
    begun = [
        at_work.broker.run(both, service="fetcher", stop=at_work.stop),
        at_work.broker.run(at_work.consumers(), service="normalizer", stop=at_work.stop),
    ]
    if polling:
        begun.append(poll(at_work.context, at_work.broker, at_work.stop))
    return [asyncio.create_task(each) for each in begun]


async def connect(store: Store, org_id: str, **fields: Any) -> None:
    row = {
        "org_id": org_id,
        "generation": 1,
        "state": "connected",
        "connection": msgspec.json.encode(GraphConnection(tenant_id="t")),
        "tenant_id": org_id,
        "policy": msgspec.json.encode(Policy()),
    }
    async with store.write() as connection:
        await connection.execute(insert(orgs).values(row | fields))


def page(events: int) -> dict[str, object]:
    """Return one page of so many events, an hour each, from tomorrow on."""
    start = clock.now() - clock.now() % 3600 + 86_400
    return {"value": [_event(start + 7200 * number) for number in range(events)]}


def _event(start: int) -> dict[str, object]:
    times = {
        name: {"dateTime": clock.moment(at)[:-1] + ".0000000", "timeZone": "UTC"}
        for name, at in (("start", start), ("end", start + 3600))
    }
    return {**times, "showAs": "busy", "isAllDay": False}
