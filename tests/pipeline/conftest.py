"""Fleets that last for a module of fault tests: one org of 60 mailboxes, polled often, on each setup of engines."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec import Struct

from deploy.sandbox import SandboxOptions, start
from services.fetcher.settings import Settings as FetcherSettings
from shared.broker import Broker, open_broker, topology
from shared.contracts.policy import Policy
from shared.store import open_store
from tests.pipeline.fleet import Fleet, entry, environment
from tests.pipeline.scene import Scene
from tests.servers import Container, PostgresServer, RabbitServer, empty, execute

MAILBOXES = 60
POLL = 3  # seconds


class Apart(Struct, frozen=True, kw_only=True):
    """Four services as processes on a RabbitMQ and a PostgreSQL that may be killed."""

    fleet: Fleet
    scene: Scene
    broker: Broker
    rabbit: RabbitServer | Container
    postgres: PostgresServer | Container


@pytest.fixture(scope="module")
def mortal_database(mortal_postgres: PostgresServer | Container) -> Iterator[str]:
    """A database of the module's own on a PostgreSQL that may be killed."""
    execute(mortal_postgres.url, "CREATE DATABASE trial TEMPLATE template0")
    try:
        yield f"{mortal_postgres.url.rpartition('/')[0]}/trial"
    finally:
        mortal_postgres.start()
        execute(mortal_postgres.url, "DROP DATABASE trial WITH (FORCE)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apart(
    tmp_path_factory: pytest.TempPathFactory,
    mortal_rabbitmq: RabbitServer | Container,
    mortal_postgres: PostgresServer | Container,
    mortal_database: str,
) -> AsyncIterator[Apart]:
    """A fleet that has read its org once."""
    folder: Path = tmp_path_factory.mktemp("apart")
    empty(mortal_rabbitmq.url, list(topology.queue_arguments()))
    sandbox = await start(SandboxOptions(folder=folder, mailboxes=MAILBOXES, events=15))
    store, broker = open_store(mortal_database), open_broker(mortal_rabbitmq.url)
    policy = Policy(poll_seconds=POLL)
    try:
        with Fleet(
            folder, broker_url=mortal_rabbitmq.url, database_url=mortal_database, **environment(sandbox), **polling()
        ) as fleet:
            fleet.start_all()
            await fleet.ready()
            await fleet.connect("acme", entry(sandbox), policy)
            scene = Scene(sandbox, store, org_id="acme", policy=policy)
            await scene.agrees()
            yield Apart(fleet=fleet, scene=scene, broker=broker, rabbit=mortal_rabbitmq, postgres=mortal_postgres)
            await asyncio.to_thread(mortal_rabbitmq.start)
    finally:
        await broker.close()
        await store.close()
        await sandbox.stop()


def polling() -> dict[str, str]:
    """Return the setting that makes fetchers poll as often as the policy says, where there still is one."""
    known = "poll_seconds" in FetcherSettings.__struct_fields__
    return {"BUSYLINE_FETCHER_POLL_SECONDS": str(POLL)} if known else {}
