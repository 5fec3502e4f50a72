"""A publisher for the client's tests: readings drawn by lot go in, HTTP and on request RabbitMQ come out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

from sqlalchemy import select

from services.publisher import consumers, news
from services.publisher.bell import Bell, Bells
from services.publisher.departure import depart
from services.publisher.following import Following, Limits
from services.publisher.plan import Found
from services.publisher.relay import relay
from services.publisher.retention import forget_old
from services.publisher.timeline import from_row
from services.publisher.timelines import publish
from services.publisher.web import served
from shared import clock
from shared.broker import open_broker
from shared.client.over_http import Http
from shared.client.replica import Replica
from shared.contracts.messages import AvailabilitySnapshot, MailboxUnreadable
from shared.contracts.values import Bucket, Status
from shared.health import Health
from shared.store import Store, open_store
from shared.tables import relay as cursors
from shared.tables import timelines, updates
from tests.processes import free_port
from tests.unit.publisher.readings import MONDAY, busy, connect, erased, snapshot, unreadable
from tests.unit.shared.client_history import state
from tests.waiting import until

PEOPLE = 20
State = dict[str, tuple[object, ...]]


class Office:
    """One publisher and its only org, `acme`."""

    def __init__(self, store: Store, bells: Bells, token: str) -> None:
        self.store = store
        self.token = token
        self.port = 0
        self.chance = Random(7)
        self._bells = bells
        self._version = 0
        self.generation = 1

    @property
    def http(self) -> Http:
        """The org as a client names it."""
        return Http(url=f"http://127.0.0.1:{self.port}", token=self.token, orgs=("acme",))

    async def stir(self, count: int) -> None:
        """Publish so many readings of anybody: new lines mostly, now and then trouble, a removal, an erasure."""
        while count > 0:
            together = min(count, self.chance.randrange(1, 10))
            found = [self._found(f"m-{self.chance.randrange(PEOPLE)}", self.chance.random()) for _ in range(together)]
            await self._publish(found)
            count -= together

    async def publish(self, mailbox_id: str, *, lot: float = 1.0) -> None:
        """Publish one reading of a mailbox."""
        await self._publish([self._found(mailbox_id, lot)])

    async def _publish(self, found: Sequence[Found]) -> None:
        await publish(self.store, found, now=MONDAY)
        self._bells.ring(hurry=True)

    def _found(self, mailbox_id: str, lot: float) -> Found:
        self._version += 1
        if lot < 0.04:
            return self._gone(Bucket.FAILING, mailbox_id)
        if lot < 0.08:
            return self._gone(Bucket.REMOVED, mailbox_id)
        if lot < 0.1 and self.generation == 1:
            return erased(mailbox_id, version=self._version)
        return self._reading(mailbox_id, self._version)

    def _gone(self, bucket: Bucket, mailbox_id: str) -> MailboxUnreadable:
        return unreadable(bucket, version=self._version, mailbox_id=mailbox_id, generation=self.generation)

    def _reading(self, mailbox_id: str, version: int) -> AvailabilitySnapshot:
        hours = sorted(self.chance.sample(range(1400), 40))
        blocks = [
            busy(start, end, self.chance.choice([Status.BUSY, Status.OOF, Status.TENTATIVE]))
            for start, end in zip(hours[::2], hours[1::2], strict=True)
            if self.chance.random() < 0.5
        ]
        return snapshot(*blocks, version=version, mailbox_id=mailbox_id, generation=self.generation)

    async def leave(self) -> None:
        """Let the org leave."""
        await connect(self.store, generation=self.generation, state="disconnecting")
        await depart(self.store, "acme", self.generation, now=MONDAY)
        self._bells.ring(hurry=True)

    async def come_back(self) -> None:
        """Connect the org anew, in the scope again; versions begin again."""
        self.generation += 2
        self._version = 0
        await consumers.rescope(self.store, "tests", ["acme"])
        await connect(self.store, generation=self.generation)

    async def forget(self) -> None:
        """Let retention delete all that is no last word."""
        await self.relayed()
        await forget_old(self.store, before=clock.now())

    async def relayed(self) -> None:
        """Wait until everything was announced."""
        await until(self._is_relayed, 60)

    async def _is_relayed(self) -> bool:
        async with self.store.read() as connection:
            last = (await connection.execute(select(updates.c.position).order_by(updates.c.position.desc()))).scalar()
            at = (await connection.execute(select(cursors.c.position).where(cursors.c.name == "availability"))).scalar()
        return (at or 0) >= (last or 0)

    async def published(self) -> State:
        """Return what counts of every mailbox as the publisher holds it."""
        async with self.store.read() as connection:
            rows = (await connection.execute(select(timelines))).mappings().all()
        held = [from_row(dict(row)) for row in rows]
        return state(tuple(news.update(each, each.window) for each in held if not each.gone))

    async def reached_by(self, replica: Replica) -> None:
        """Wait until a replica holds exactly what is published."""
        await until(lambda: self._agrees(replica), 60)

    async def _agrees(self, replica: Replica) -> bool:
        return state(replica.mailboxes()) == await self.published()


@asynccontextmanager
async def office(
    database_url: str, broker_url: str = "memory://", orgs: Sequence[str] = ("acme",)
) -> AsyncIterator[Office]:
    """Run a publisher's HTTP and relay while the block runs, with one consumer."""
    store, broker = open_store(database_url), open_broker(broker_url)
    bell, following, stop = Bell(), Bell(), asyncio.Event()
    await connect(store)
    token = await consumers.add(store, "tests", orgs, now=MONDAY)
    found = Office(store, Bells(bell, following), token)
    found.port = free_port()
    relaying = asyncio.create_task(relay(store, broker, health=Health(), bell=bell, stop=stop))
    try:
        async with served(
            store,
            Health(),
            host="127.0.0.1",
            port=found.port,
            following=Following(store, following, Limits()),
        ):
            yield found
    finally:
        stop.set()
        relaying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await relaying
        await broker.close()
        await store.close()


class Proxy:
    """Passes bytes between clients and a server, and cuts connections where it is told to."""

    def __init__(self, port: int, chance: Random) -> None:
        self.flapping = False
        self.cuts = 0
        self.port = 0
        self._to = port
        self._chance = chance
        self._open: set[asyncio.StreamWriter] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection's bytes on, for a while or for ever."""
        left = self._chance.randrange(200, 60_000) if self.flapping else 1 << 40
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        self._open |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(there, writer, left))
                group.create_task(self._pass(reader, back, left))
        except* (OSError, EOFError):
            self.cuts += 1
        finally:
            for each in (writer, back):
                self._open.discard(each)
                each.transport.abort()

    def cut(self) -> None:
        """Cut every connection now."""
        for each in self._open:
            each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int) -> None:
        while left > 0:
            chunk = await reader.read(min(4096, left))
            if not chunk:
                raise EOFError
            left -= len(chunk)
            writer.write(chunk)
            await writer.drain()
        raise EOFError


@asynccontextmanager
async def proxy(port: int, chance: Random) -> AsyncIterator[Proxy]:
    """Give a proxy before a port of this machine."""
    found = Proxy(port, chance)
    server = await asyncio.start_server(found.handle, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        found.cut()
        await asyncio.sleep(0)
