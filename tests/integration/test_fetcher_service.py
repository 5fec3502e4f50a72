"""The fetcher as a service, on both sets of engines: started, asked to enumerate, polling, and stopped in order."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, update

from deploy.sandbox import Sandbox, SandboxOptions, start
from deploy.sandbox.calendar.values import Item
from services.fetcher.__main__ import run
from services.fetcher.settings import Settings
from shared import clock
from shared.broker import Consumer, Delivery, Done, open_broker
from shared.config import Deployment, Secret
from shared.contracts.messages import CalendarSnapshot, MailboxEnumerate, MailboxUnreadable, Message
from shared.contracts.values import DAY
from shared.health import Health
from shared.process import Rim
from shared.store import open_store
from shared.tables import mailboxes
from tests.processes import free_port
from tests.unit.fetcher.desk import Reach, opened, reach_of
from tests.waiting import until


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    started = await start(SandboxOptions(folder=tmp_path / "sandbox", mailboxes=6, events=5))
    yield started
    await started.stop()


@pytest.fixture(params=["embedded", "real"])
def urls(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A broker and a database of one kind: in this process, or RabbitMQ and PostgreSQL."""
    if request.param == "embedded":
        return "memory://fetcher-service", str(request.getfixturevalue("sqlite_url"))
    return str(request.getfixturevalue("amqp_url")), str(request.getfixturevalue("migrated_postgres_url"))


class Next:
    """Stands where the services behind the fetcher stand, and keeps what they would be given."""

    def __init__(self) -> None:
        self.snapshots: list[CalendarSnapshot] = []
        self.unreadable: list[MailboxUnreadable] = []

    async def handle(self, message: Message, _: Delivery) -> Done:
        if isinstance(message, CalendarSnapshot):
            self.snapshots.append(message)
        elif isinstance(message, MailboxUnreadable):
            self.unreadable.append(message)
        return Done()

    def consumers(self) -> list[Consumer]:
        lanes = ("normalizer.live", "normalizer.snapshots", "publisher.snapshots", "authorizer.reports")
        return [Consumer(lane, self.handle) for lane in lanes]


async def test_the_service_finds_reads_polls_follows_hints_and_stops(
    urls: tuple[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    broker_url, store_url = urls
    reach = reach_of(sandbox)
    async with opened(store_url, reach, tmp_path):
        pass  # the org is connected, its credential sealed
    deployment = Deployment(
        broker_url=Secret(broker_url),
        database_url=Secret(store_url),
        keys_file=str(tmp_path / "keys"),
        ca_file=reach.ca_file,
        sandbox_url=reach.url,
    )
    broker, store = open_broker(broker_url), open_store(store_url)
    try:
        await _polling_alone(deployment, Rim(broker=broker, store=store, stop=asyncio.Event(), health=Health()))
        await _with_hints(deployment, Rim(broker=broker, store=store, stop=asyncio.Event(), health=Health()), sandbox)
    finally:
        await broker.close()
        await store.close()


@asynccontextmanager
async def _served(deployment: Deployment, settings: Settings, rim: Rim) -> AsyncIterator[Next]:
    """Run the service, and what comes behind it, until the block ends; then it stops in order."""
    after = Next()
    service = asyncio.create_task(run(deployment, settings, rim))
    behind = asyncio.create_task(rim.broker.run(after.consumers(), service="normalizer", stop=rim.stop))
    try:
        await until(lambda: rim.health.ready or service.done(), 60)  # a broker's first queues take a while
        if service.done():
            await service  # raises why
        yield after
    finally:
        rim.stop.set()
        async with asyncio.timeout(30):
            await asyncio.gather(service, behind)
    assert await rim.broker.parked() == []


async def _polling_alone(deployment: Deployment, rim: Rim) -> None:
    async with _served(deployment, Settings(), rim) as after:
        await rim.broker.publish([MailboxEnumerate(org_id="org1", generation=1, run="0" * 32)])
        await until(lambda: len({each.mailbox.address for each in after.snapshots}) == 6, 60)
        assert after.unreadable == []
        await _polled(rim, after)


async def _with_hints(deployment: Deployment, rim: Rim, sandbox: Sandbox) -> None:
    port = free_port()
    settings = Settings(notify_url=f"http://127.0.0.1:{port}/graph", notify_port=port)
    async with _served(deployment, settings, rim) as after:
        await _hinted(sandbox, after)


async def _polled(rim: Rim, after: Next) -> None:
    """Whatever is due is read again, in the backfill lane; a poll in a reading's own second is answered by it."""
    await until(partial(_nobody_reads, rim), 60)
    started = max(each.as_of for each in after.snapshots)
    await until(lambda: clock.now() > started)
    first = {each.mailbox.address: each.version for each in after.snapshots}
    async with rim.store.write() as connection:
        await connection.execute(update(mailboxes).where(mailboxes.c.bucket == "active").values(due_at=1))

    def again() -> set[str]:
        polled = [each for each in after.snapshots if not each.live]
        return {each.mailbox.address for each in polled if each.version > first[each.mailbox.address]}

    await until(lambda: again() == set(first), 60)


async def _nobody_reads(rim: Rim) -> bool:
    async with rim.store.read() as connection:
        held = select(mailboxes.c.mailbox_id).where(mailboxes.c.lease_id.is_not(None))
        return (await connection.execute(held)).first() is None


async def _hinted(sandbox: Sandbox, after: Next) -> None:
    """What changes at Microsoft is read at once, in the live lane."""
    await until(lambda: len(sandbox.subscriptions()) == 6, 60)
    changed = sandbox.mailboxes()[0].address
    at = clock.now() - clock.now() % DAY + 3 * DAY + 1234
    sandbox.add_event(changed, Item(item_id="", start=at, end=at + 600))

    def starts() -> set[int]:
        mine = [each for each in after.snapshots if each.live and each.mailbox.address == changed]
        return {event.start for each in mine for event in each.events}

    await until(lambda: at in starts(), 60)


async def test_a_port_that_is_taken_is_said_in_a_sentence(sqlite_url: str, sandbox: Sandbox, tmp_path: Path) -> None:
    reach = Reach(url=sandbox.url, ca_file=str(sandbox.ca_file), tenant_id="t", client_id="c", client_secret="s")
    async with opened(sqlite_url, reach, tmp_path) as desk:
        broker = open_broker("memory://taken")
        rim = Rim(broker=broker, store=desk.context.store, stop=asyncio.Event(), health=Health())
        deployment = Deployment(keys_file=str(tmp_path / "keys"), ca_file=reach.ca_file, sandbox_url=reach.url)
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            port = holder.getsockname()[1]
            settings = Settings(notify_url=f"http://127.0.0.1:{port}/graph", notify_port=port)
            with pytest.raises(SystemExit, match="nothing can listen"):
                await run(deployment, settings, rim)
        await broker.close()
