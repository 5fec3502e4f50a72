"""What a consumer's own queue loses is found over HTTP and counted; what is not acknowledged comes again."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import kombu
import pytest

from services.publisher import log
from shared.broker import address, declare
from shared.client import Queue, Replica, following, pauses, subscribe
from shared.contracts.public import AvailabilityUpdated
from tests.pipeline.client_office import Office, office, proxy
from tests.pipeline.client_running import NAME, queue_is_new, running
from tests.waiting import until


@pytest.fixture
def amqp(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a RabbitMQ with the exchange on it and our queue, not bound; a client comes back soon."""
    monkeypatch.setattr(pauses, "FIRST", 0.02)
    monkeypatch.setattr(pauses, "LONGEST", 0.1)
    declare.ensure(address.parse(amqp_url))
    queue_is_new(amqp_url)
    return amqp_url


@pytest.fixture
async def publisher(sqlite_url: str, amqp: str) -> AsyncIterator[Office]:
    async with office(sqlite_url, amqp) as found:
        yield found


async def test_what_a_queue_lost_is_found_over_http_and_counted(publisher: Office, amqp: str) -> None:
    await publisher.stir(20)
    with Replica() as replica:
        flapping = Random(1)
        async with proxy(int(amqp.rpartition(":")[2].split("/")[0]), flapping) as way:
            through = amqp.replace(amqp.rpartition(":")[2].split("/")[0], str(way.port))
            async with running(replica, publisher.http, through):
                await publisher.reached_by(replica)
                assert replica.stats.gaps == 0
                before = replica.position
                way._to = 1  # nobody listens there
                way.cut()
                await until(lambda: not replica.stats.connected, 60)
                for number in range(5):
                    await publisher.publish(f"m-{number}")
                await publisher.relayed()
                queue_is_new(amqp)  # it overflowed
                way._to = int(amqp.rpartition(":")[2].split("/")[0])
                await publisher.reached_by(replica)
                assert (replica.position or 0) > (before or 0)
                await publisher.publish("m-9")
                await publisher.reached_by(replica)
                await until(lambda: replica.stats.gaps > 0, 60)
                assert replica.stats.gaps >= 5


async def test_what_a_queue_loses_while_it_is_consumed_is_found_and_counted(
    publisher: Office, amqp: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "CATCH_UP", 0.5)
    with Replica() as replica:
        async with running(replica, publisher.http, amqp):
            await publisher.stir(20)
            await publisher.reached_by(replica)
            await publisher.relayed()
            bound(amqp, held=False)
            before = await log.head(publisher.store)
            for number in range(5):
                await publisher.publish(f"m-{number}")
            await publisher.relayed()
            bound(amqp, held=True)
            lost = await log.head(publisher.store) - before
            await publisher.reached_by(replica)
            await publisher.publish("m-9")
            await until(lambda: replica.stats.gaps == lost, 60)
            await publisher.reached_by(replica)
        assert replica.stats.connections == 1


def bound(url: str, *, held: bool) -> None:
    with kombu.Connection(url) as connection:
        change = connection.channel().queue_bind if held else connection.channel().queue_unbind
        change(NAME, "availability", "acme.#")


async def test_a_delivery_is_acknowledged_once_the_next_is_asked_for(publisher: Office, amqp: str) -> None:
    source = Queue(url=amqp, name=NAME, orgs=("acme",))
    async with asyncio.timeout(60):
        async with subscribe(source) as updates:
            first = asyncio.ensure_future(anext(updates))
            await until(lambda: is_bound(amqp) or first.done(), 60)
            for number in range(3):
                await publisher.publish(f"m-{number}")
            told = [await first, await anext(updates)]
        async with subscribe(source) as updates:
            again = [await anext(updates), await anext(updates)]
    assert [each.mailbox_id for each in told + again] == ["m-0", "m-1", "m-1", "m-2"]
    assert all(isinstance(each.data, AvailabilityUpdated) for each in told)


def is_bound(url: str) -> bool:
    with kombu.Connection(url) as connection:
        try:
            return bool(connection.channel().queue_declare(NAME, passive=True).consumer_count)
        except kombu.exceptions.OperationalError:
            return False
        except connection.channel_errors:
            return False
