"""The authorizer on both brokers: what comes in is settled, what goes out arrives, what makes no sense is parked."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.authorizer import audit, orgs
from services.authorizer.__main__ import see_broker, serve
from services.authorizer.desk import Desk
from services.authorizer.handler import of_orgs
from services.authorizer.settings import Settings
from services.authorizer.timer import Wakes
from services.authorizer.verify import Microsoft
from shared import clock
from shared.broker import Broker, Consumer, Delivery, Done, open_broker
from shared.contracts.messages import GraphConnection, MailboxEnumerate, Message, OrgConnected
from shared.contracts.policy import Policy
from shared.errors import Halt
from shared.health import Health
from shared.identity import GraphCredential
from shared.process import Rim
from shared.store import Store, open_store
from shared.vault import load_vault
from tests.unit.authorizer.authorizer_fakes import FakeGraph, FakeTokens
from tests.unit.authorizer.exchange_fakes import FakeServer
from tests.waiting import until

ONE = GraphConnection(tenant_id="t")


@pytest.fixture
async def broker(broker_url: str) -> AsyncIterator[Broker]:
    made = open_broker(broker_url)
    yield made
    await made.close()


@pytest.fixture
async def rabbit(amqp_url: str) -> AsyncIterator[Broker]:
    made = open_broker(amqp_url)
    yield made
    await made.close()


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    made = open_store(sqlite_url)
    yield made
    await made.close()


async def test_an_org_connects_over_the_broker_and_nonsense_beside_it_is_parked(
    broker: Broker, store: Store, tmp_path: Path
) -> None:
    vault, stop = load_vault(tmp_path / "keys", create=True), asyncio.Event()
    await orgs.put_credential(store, vault, "default", GraphCredential(client_id="app"), now=1)
    microsoft, exchange = Microsoft(FakeTokens(), FakeGraph()), FakeServer().exchange()
    desk = Desk(store=store, vault=vault, microsoft=microsoft, exchange=exchange, settings=Settings(), tries={})
    jobs: list[Message] = []

    async def take(message: Message, _: Delivery) -> Done:
        jobs.append(message)
        return Done()

    await see_broker(broker)
    running = [
        asyncio.create_task(serve(desk, Rim(broker=broker, store=store, stop=stop, health=Health()))),
        asyncio.create_task(broker.run([Consumer("fetcher.enumerate", take)], service="fetcher", stop=stop)),
    ]
    nonsense: Any = {"window": [0, 10**15], "detail": "everything"}
    await broker.publish(
        [
            OrgConnected(org_id="bad", connection=ONE, policy=nonsense),
            OrgConnected(org_id="not an id", connection=ONE),
            OrgConnected(org_id="acme", connection=ONE, policy=Policy()),
        ]
    )
    await until(lambda: bool(jobs))

    async def both_parked() -> bool:
        return len(await broker.parked()) == 2

    await until(both_parked)
    letters = await broker.parked()
    assert {(letter.queue, letter.reason) for letter in letters} == {("authorizer.orgs", "malformed")}
    assert {letter.where for letter in letters} == {"$.policy.window[1]", "$.org_id"}
    assert [type(job) for job in jobs] == [MailboxEnumerate]
    assert [found.org_id for found in await orgs.all_orgs(store)] == ["acme"]
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), 60)
    assert await broker.depth("authorizer.orgs") == 0


async def test_a_word_delivered_again_after_a_later_one_undoes_nothing(rabbit: Broker, store: Store) -> None:
    """RabbitMQ gives back what was not acknowledged, with the time at which it was first published."""
    stop, wakes = asyncio.Event(), Wakes()
    held: list[tuple[Message, Delivery]] = []
    handle = of_orgs(store, "", wakes)

    async def crash_after_commit(message: Message, delivery: Delivery) -> Done:
        done = await handle(message, delivery)
        assert done.commit is not None
        await done.commit()
        held.append((message, delivery))
        raise Halt("test")

    await rabbit.publish([OrgConnected(org_id="acme", connection=ONE, policy=Policy(days_back=1))])
    with pytest.raises(Halt):
        await rabbit.run([Consumer("authorizer.orgs", crash_after_commit, 1)], service="authorizer", stop=stop)
    published_at = held[0][1].published_at
    await until(lambda: clock.now() > published_at)
    assert await orgs.disconnect(store, "acme", actor="operator", now=clock.now())
    seen: list[Delivery] = []

    async def again(message: Message, delivery: Delivery) -> Done:
        seen.append(delivery)
        return await handle(message, delivery)

    consumers = [Consumer("authorizer.orgs", again, 1)]
    consuming = asyncio.create_task(rabbit.run(consumers, service="authorizer", stop=stop))
    await until(lambda: bool(seen))
    stop.set()
    await asyncio.wait_for(consuming, 60)
    assert [(each.redelivered, each.published_at) for each in seen] == [(True, published_at)]
    found = await orgs.org(store, "acme")
    assert found is not None
    assert (found.state, found.generation) == ("disconnecting", 1)
    assert [entry.action for entry in await audit.entries(store, "acme")] == ["org.requested", "org.disconnected"]

    async def settled() -> bool:
        return await rabbit.depth("authorizer.orgs") == 0

    await until(settled)
