"""The authorizer on both brokers: what comes in is settled, what goes out arrives, what makes no sense is parked."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.authorizer import orgs
from services.authorizer.__main__ import see_broker, serve
from services.authorizer.desk import Desk
from services.authorizer.settings import Settings
from services.authorizer.verify import Microsoft
from shared.broker import Broker, Consumer, Delivery, Done, open_broker
from shared.contracts.messages import GraphConnection, MailboxEnumerate, Message, OrgConnected
from shared.contracts.policy import Policy
from shared.health import Health
from shared.identity import GraphCredential
from shared.process import Rim
from shared.store import Store, open_store
from shared.vault import load_vault
from tests.unit.authorizer.authorizer_fakes import FakeGraph, FakeTokens
from tests.waiting import until

ONE = GraphConnection(tenant_id="t")


@pytest.fixture
async def broker(broker_url: str) -> AsyncIterator[Broker]:
    made = open_broker(broker_url)
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
    desk = Desk(store=store, vault=vault, microsoft=Microsoft(FakeTokens(), FakeGraph()), settings=Settings(), tries={})
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
    await until(lambda: bool(jobs), 30)

    async def both_parked() -> bool:
        return len(await broker.parked()) == 2

    await until(both_parked, 30)
    letters = await broker.parked()
    assert {(letter.queue, letter.reason) for letter in letters} == {("authorizer.orgs", "malformed")}
    assert {letter.where for letter in letters} == {"$.policy.window[1]", "$.org_id"}
    assert [type(job) for job in jobs] == [MailboxEnumerate]
    assert [found.org_id for found in await orgs.all_orgs(store)] == ["acme"]
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), 30)
    assert await broker.depth("authorizer.orgs") == 0
