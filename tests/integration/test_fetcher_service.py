"""The fetcher as a service, on both sets of engines: started, asked to enumerate, polling, and stopped in order."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from deploy.sandbox import Sandbox, SandboxOptions, start
from services.fetcher.__main__ import run
from services.fetcher.settings import Settings
from shared.broker import Broker, Consumer, Delivery, Done, open_broker
from shared.config import Deployment, Secret
from shared.contracts.messages import CalendarSnapshot, MailboxEnumerate, MailboxUnreadable, Message
from shared.health import Health
from shared.process import Rim
from shared.store import open_store
from shared.tables import mailboxes
from tests.unit.fetcher.desk import Reach, opened
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
        return [Consumer("normalizer.snapshots", self.handle), Consumer("publisher.snapshots", self.handle)]


async def test_the_service_finds_reads_polls_and_stops(urls: tuple[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    broker_url, store_url = urls
    reach = Reach(
        url=sandbox.url,
        ca_file=str(sandbox.ca_file),
        tenant_id=sandbox.tenant_id,
        client_id=sandbox.client_id,
        client_secret=sandbox.client_secret,
    )
    async with opened(store_url, reach, tmp_path):
        pass  # the org is connected, its credential sealed
    deployment = Deployment(
        broker_url=Secret(broker_url),
        database_url=Secret(store_url),
        keys_file=str(tmp_path / "keys"),
        ca_file=reach.ca_file,
        sandbox_url=reach.url,
    )
    broker = open_broker(broker_url)
    try:
        await _live(deployment, broker, store_url)
    finally:
        await broker.close()


async def _live(deployment: Deployment, broker: Broker, store_url: str) -> None:
    store, after = open_store(store_url), Next()
    rim = Rim(broker=broker, store=store, stop=asyncio.Event(), health=Health())
    service = asyncio.create_task(run(deployment, Settings(poll_seconds=1), rim))
    behind = asyncio.create_task(broker.run(after.consumers(), service="normalizer", stop=rim.stop))
    await until(lambda: rim.health.ready)
    await broker.publish([MailboxEnumerate(org_id="org1", generation=1, run="0" * 32)])
    await until(lambda: len({each.mailbox.address for each in after.snapshots}) == 6, 60)
    assert after.unreadable == []
    async with store.write() as connection:
        await connection.execute(update(mailboxes).where(mailboxes.c.bucket == "active").values(due_at=1))
    first = {each.mailbox.address: each.version for each in after.snapshots}
    await until(lambda: {each.mailbox.address for each in after.snapshots if each.version > first[each.mailbox.address]}
                == set(first), 60)  # fmt: skip
    rim.stop.set()
    async with asyncio.timeout(30):
        await asyncio.gather(service, behind)
    assert await broker.parked() == []
    await store.close()
