"""A service's own user, with exactly the rights that the definitions give it, can do a service's work."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.rabbitmq.definitions import USERS, VHOST, document
from shared.broker import Broker, Consumer, Delivery, Done, Limits, Outgoing, open_broker, topology
from shared.contracts.messages import AvailabilitySnapshot, GraphConnection, MailboxRead, Message, OrgConnected
from shared.contracts.values import Mailbox, Window
from shared.errors import Halt, Retry
from tests.servers import Container, RabbitServer
from tests.waiting import until


@pytest.fixture(scope="module")
def server(mortal_rabbitmq: RabbitServer | Container, tmp_path_factory: pytest.TempPathFactory) -> RabbitServer:
    if not isinstance(mortal_rabbitmq, RabbitServer):
        pytest.skip("needs rabbitmqctl beside the broker")
    path: Path = tmp_path_factory.mktemp("definitions") / "definitions.json"
    path.write_bytes(document({name: f"secret-{name}" for name in USERS}))
    mortal_rabbitmq.start()
    mortal_rabbitmq.control("import_definitions", str(path))
    return mortal_rabbitmq


def url_of(server: RabbitServer, user: str) -> str:
    return f"amqp://{user}:secret-{user}@127.0.0.1:{server.port}/{VHOST}"


async def test_a_service_publishes_consumes_delays_and_parks_with_its_own_rights(server: RabbitServer) -> None:
    fetcher = open_broker(url_of(server, "fetcher"), limits=Limits(attempts=2))
    operator = open_broker(url_of(server, "operator"))
    attempts: list[int] = []

    async def handle(_: Message, delivery: Delivery) -> Done:
        attempts.append(delivery.attempt)
        raise Retry("busy", after=0.5)

    stop = asyncio.Event()
    task = asyncio.create_task(fetcher.run([Consumer("fetcher.live", handle)], service="fetcher", stop=stop))
    try:
        await fetcher.publish([MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=1, live=True)])
        await until(lambda: _has_parked(operator))
        (parked,) = await operator.parked()
        assert await operator.replay(parked.parked_id)
        await until(lambda: len(attempts) == 4)
        await until(lambda: _has_parked(operator))
        (parked,) = await operator.parked()
        assert await operator.drop(parked.parked_id)
        assert attempts == [1, 2, 1, 2]
    finally:
        stop.set()
        await task
        await fetcher.close()
        await operator.close()


async def _has_parked(broker: Broker) -> bool:
    return await broker.depth(topology.PARKED) == 1


async def test_the_platform_and_the_publisher_reach_their_exchanges(server: RabbitServer) -> None:
    platform, publisher = open_broker(url_of(server, "platform")), open_broker(url_of(server, "publisher"))
    try:
        await platform.publish([OrgConnected(org_id="acme", connection=GraphConnection(tenant_id="t"))])
        while not await publisher.announce([("availability.acme.m1", b"{}", {})]):
            pass
    finally:
        await platform.close()
        await publisher.close()


async def test_the_authorizer_may_have_mailboxes_read_again_now_and_later(server: RabbitServer) -> None:
    authorizer, fetcher = open_broker(url_of(server, "authorizer")), open_broker(url_of(server, "fetcher"))
    seen: set[tuple[bool, bool]] = set()

    async def handle(message: Message, _: Delivery) -> Done:
        assert isinstance(message, MailboxRead)
        seen.add((message.live, message.exchange))
        return Done()

    stop = asyncio.Event()
    lanes = [Consumer(name, handle) for name in ("fetcher.live", "fetcher.backfill", "fetcher.exchange")]
    task = asyncio.create_task(fetcher.run(lanes, service="fetcher", stop=stop))
    read = MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=1)
    try:
        await authorizer.publish(
            [replace(read, live=True), Outgoing(read, 1), Outgoing(replace(read, exchange=True), 1)]
        )
        await until(lambda: seen == {(True, False), (False, False), (False, True)})
    finally:
        stop.set()
        await task
        await authorizer.close()
        await fetcher.close()


@pytest.mark.parametrize(("service", "parked"), [("fetcher", True), ("normalizer", False), ("publisher", False)])
async def test_each_service_may_forget_an_org_that_left(server: RabbitServer, service: str, parked: bool) -> None:
    broker, fetcher = open_broker(url_of(server, service)), open_broker(url_of(server, "fetcher"))
    read = MailboxRead(org_id="leaves", generation=1, mailbox_id="m", since=1)
    try:
        await fetcher.publish([read, Outgoing(read, 30)])
        assert await broker.forget("leaves", service, parked=parked) == (2 if service == "fetcher" else 0)
        await fetcher.forget("leaves", "fetcher")
    finally:
        await broker.close()
        await fetcher.close()


async def test_publishing_without_the_right_to_is_told_and_not_tried_for_ever(server: RabbitServer) -> None:
    fetcher = open_broker(url_of(server, "fetcher"))
    foreign = AvailabilitySnapshot(
        org_id="acme", generation=1, mailbox=Mailbox(mailbox_id="m", address="a@example.test"), version=1,
        window=Window(0, 1), as_of=1, time_zone="UTC", blocks=(),
    )  # fmt: skip
    try:
        with pytest.raises(Halt, match="broker_refused"):
            await asyncio.wait_for(fetcher.publish([foreign]), 60)
        await fetcher.publish([MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=1)])
    finally:
        await fetcher.close()


async def test_consuming_without_the_right_to_ends_the_run(server: RabbitServer) -> None:
    fetcher = open_broker(url_of(server, "fetcher"))
    handled: list[Message] = []

    async def handle(message: Message, _: Delivery) -> Done:
        handled.append(message)
        return Done()

    foreign = Consumer("normalizer.snapshots", handle)
    try:
        with pytest.raises(Halt, match="broker_refused"):
            await asyncio.wait_for(fetcher.run([foreign], service="fetcher", stop=asyncio.Event()), 60)
    finally:
        await fetcher.close()
    assert handled == []
