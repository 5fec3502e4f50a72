"""The relay and a RabbitMQ that is away while a generation is raised: nothing of the old one is sent afterwards."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from services.publisher.relay import begin, relay_page
from services.publisher.timelines import publish
from shared.broker import open_broker, topology
from shared.broker.untyped import Connection, Queue
from shared.store import Store, open_store
from shared.tables import orgs
from tests.servers import Container, RabbitServer, empty
from tests.unit.publisher.readings import MONDAY, busy, connect, event, snapshot

Server = RabbitServer | Container
HEARD = "consumer.test.heard"


@pytest.fixture
def server(mortal_rabbitmq: Server) -> Iterator[Server]:
    empty(mortal_rabbitmq.url, list(topology.queue_arguments()))
    with Connection(mortal_rabbitmq.url) as connection:
        queue = Queue(HEARD, durable=True)(connection.channel())
        queue.declare()
        queue.bind_to(topology.AVAILABILITY, "acme.#")
        queue.purge()
    yield mortal_rabbitmq
    mortal_rabbitmq.start()


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    await begin(opened)
    yield opened
    await opened.close()


def heard(url: str) -> list[str]:
    """Return the bodies of what consumers were told."""
    bodies = []
    with Connection(url) as connection:
        channel = connection.channel()
        while (message := channel.basic_get(HEARD, no_ack=True)) is not None:
            bodies.append(message.body if isinstance(message.body, str) else message.body.decode())
    return bodies


async def test_nothing_of_the_old_generation_is_sent_once_the_new_one_is_committed(
    server: Server, store: Store
) -> None:
    broker = open_broker(server.url)
    try:
        await publish(store, [snapshot(mailbox_id="first")], now=MONDAY)
        assert await relay_page(store, broker) == 1
        await asyncio.to_thread(server.kill)
        await publish(store, [snapshot(events=(event(9, 10, "secret plan"),))], now=MONDAY)
        page = asyncio.create_task(relay_page(store, broker))
        await asyncio.wait({page}, timeout=0.5)
        async with store.write() as connection:
            await store.publication_lock(connection)
            await connection.execute(orgs.update().values(generation=2))
        await asyncio.to_thread(server.start)
        assert await asyncio.wait_for(page, 60) == 1
        await publish(store, [snapshot(busy(9, 10), generation=2, version=2)], now=MONDAY)
        assert await relay_page(store, broker) == 1
    finally:
        await broker.close()
    told = await asyncio.to_thread(heard, server.url)
    assert [json.loads(body)["data"]["version"] for body in told] == [1, 2]
    assert not any("secret plan" in body for body in told)
