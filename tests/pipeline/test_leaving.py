"""Disconnecting an org that is subscribed and being read, a service killed midway: nothing of it is found."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.sandbox import SandboxOptions, start
from shared.broker import open_broker, topology
from shared.contracts.messages import OrgDisconnected
from shared.contracts.policy import Detail, Policy
from shared.store import open_store
from tests.pipeline import leaving
from tests.pipeline.conftest import Apart
from tests.pipeline.fleet import SERVICES, Fleet, entry, environment, notified
from tests.pipeline.scene import Scene, said
from tests.servers import Container, PostgresServer, RabbitServer, empty
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MAILBOXES = 300


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subscribed(
    tmp_path_factory: pytest.TempPathFactory,
    mortal_rabbitmq: RabbitServer | Container,
    mortal_postgres: PostgresServer | Container,
    mortal_database: str,
) -> AsyncIterator[Apart]:
    """A fleet that Microsoft can notify, with details allowed and a canary in every private field."""
    folder = tmp_path_factory.mktemp("leaving")
    await asyncio.to_thread(empty, mortal_rabbitmq.url, list(topology.queue_arguments()))
    sandbox = await start(SandboxOptions(folder=folder, mailboxes=MAILBOXES, events=4, canaries=True))
    store, broker = open_store(mortal_database), open_broker(mortal_rabbitmq.url)
    settings = {**environment(sandbox), **notified(), "BUSYLINE_FETCHER_SUBSCRIBE_PER_SECOND": "500"}
    fleet = await asyncio.to_thread(
        Fleet, folder, broker_url=mortal_rabbitmq.url, database_url=mortal_database, **settings
    )
    scene = Scene(sandbox, store, org_id="acme", policy=Policy(detail=Detail.DETAILS))
    try:
        fleet.start_all()
        await fleet.ready()
        yield Apart(scene=scene, broker=broker, fleet=fleet, rabbit=mortal_rabbitmq, postgres=mortal_postgres)
    finally:
        await asyncio.to_thread(fleet.end_all)
        await broker.close()
        await store.close()
        await sandbox.stop()


@pytest.mark.parametrize("killed", ["nothing", *SERVICES])
async def test_nothing_is_left_of_an_org_that_leaves(subscribed: Apart, killed: str, tmp_path: Path) -> None:
    fleet, scene, sandbox = subscribed.fleet, subscribed.scene, subscribed.scene.sandbox
    await fleet.connect("acme", entry(sandbox), scene.policy)
    await until(lambda: len(sandbox.subscriptions()) >= MAILBOXES, 180)
    await scene.agrees(within=180)
    witness = await leaving.listed(scene.store, "acme", tmp_path / "witness")
    async with leaving.consuming(subscribed.rabbit.url) as consumer:
        scene.stir(100)  # readings are under way when the word comes
        began = time.perf_counter()
        await subscribed.broker.publish([OrgDisconnected(org_id="acme")])
        if killed != "nothing":
            await asyncio.sleep(0)
            fleet.kill(killed)
            fleet.start(killed)
        gone = await leaving.left(scene.store, consumer, org_id="acme", began=began)
        await leaving.searched(fleet.deployment, "acme", witness, canaries=sandbox.canaries[:200])
        assert await asyncio.to_thread(consumer.rest) == []
    assert gone.receipt.counts["mailboxes"] >= MAILBOXES
    assert gone.receipt.counts["timelines"] >= MAILBOXES
    assert sandbox.subscriptions() == ()
    assert said(await subscribed.broker.parked()) == []
    assert fleet.dead() == []
