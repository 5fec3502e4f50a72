"""Fleets that last for a module of fault tests: one org of 60 mailboxes, polled often, on each setup of engines."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

import pytest
import pytest_asyncio
from msgspec import Struct

from deploy.sandbox import SandboxOptions, start
from services.fetcher.settings import Settings as FetcherSettings
from shared.broker import Broker, open_broker, topology
from shared.contracts.policy import Policy
from shared.store import open_store
from tests.pipeline.embedded import Wanted, embedded
from tests.pipeline.fleet import Fleet, entry, environment
from tests.pipeline.scene import Scene
from tests.servers import Container, PostgresServer, RabbitServer, empty, execute

MAILBOXES = 60
EVENTS = 15
POLL = 3  # seconds
PAGE = 20  # directory objects a page, so that there are several


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests the time that whole pipelines take beside other workers: each wait has its own, shorter end."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


class Place(Struct, frozen=True, kw_only=True):
    """Where an org is under trial, whatever the engines."""

    scene: Scene
    broker: Broker


class Apart(Place, frozen=True, kw_only=True):
    """Four services as processes on a RabbitMQ and a PostgreSQL that may be killed."""

    fleet: Fleet
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
    async with running_apart(tmp_path_factory.mktemp("apart"), mortal_rabbitmq.url, mortal_database) as (fleet, place):
        yield Apart(
            fleet=fleet, scene=place.scene, broker=place.broker, rabbit=mortal_rabbitmq, postgres=mortal_postgres
        )
        await asyncio.to_thread(mortal_rabbitmq.start)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["embedded", "apart"])
async def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """An org that has been read once, in one process and in four."""
    folder = tmp_path_factory.mktemp("place")
    if request.param == "embedded":
        async with running_embedded(folder) as here:
            yield here
        return
    rabbit, database = request.getfixturevalue("mortal_rabbitmq"), request.getfixturevalue("mortal_database")
    async with running_apart(folder, rabbit.url, database) as (_, there):
        yield there


@asynccontextmanager
async def running_apart(folder: Path, broker_url: str, database_url: str) -> AsyncIterator[tuple[Fleet, Place]]:
    """Give a fleet on servers, its org read once."""
    await asyncio.to_thread(empty, broker_url, list(topology.queue_arguments()))
    sandbox = await start(SandboxOptions(folder=folder, mailboxes=MAILBOXES, events=EVENTS))
    store, broker = open_store(database_url), open_broker(broker_url)
    settings = {**environment(sandbox), "BUSYLINE_FETCHER_DIRECTORY_PAGE": str(PAGE)}
    scene = Scene(sandbox, store, org_id="acme", policy=Policy(poll_seconds=POLL))
    fleet = await asyncio.to_thread(Fleet, folder, broker_url=broker_url, database_url=database_url, **settings)
    try:
        fleet.start_all()
        await fleet.ready()
        await fleet.connect("acme", entry(sandbox), scene.policy)
        await scene.agrees()
        yield fleet, Place(scene=scene, broker=broker)
    finally:
        await asyncio.to_thread(fleet.end_all)  # the sandbox answers meanwhile
        await broker.close()
        await store.close()
        await sandbox.stop()


@asynccontextmanager
async def running_embedded(folder: Path, *, hints: bool = False, log: TextIO | None = None) -> AsyncIterator[Place]:
    """Give everything in this process, its org read once; with `hints` it is polled once an hour only."""
    wanted = Wanted(
        folder=folder,
        sandbox=SandboxOptions(folder=folder, mailboxes=MAILBOXES, events=EVENTS, notification_pause_scale=0.01),
        policy=Policy(poll_seconds=3600 if hints else POLL),
        fetcher=FetcherSettings(directory_page=PAGE, subscribe_per_second=200),
        hints=hints,
        log=log,
    )
    async with embedded(wanted) as here:
        await here.scene.agrees()
        yield Place(scene=here.scene, broker=here.rim.broker)
