"""The broker's definitions on a real RabbitMQ: what each user must be able to do works, everything else is refused."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import amqp
import pytest
from amqp.exceptions import AccessRefused

from deploy.rabbitmq.definitions import USERS, VHOST, Consumer, document
from services.normalizer.handler import handle
from shared.broker import Broker, Delivery, Done, open_broker, topology
from shared.broker import Consumer as Taker
from shared.contracts.messages import CalendarSnapshot, Message, RawEvent
from shared.contracts.policy import Policy
from shared.contracts.values import DAY, Mailbox, Window
from shared.errors import Reject, Retry
from tests.servers import RabbitServer, Unavailable
from tests.waiting import until

Channel = Any
CRM = Consumer(name="crm", password="pw-consumer-crm", orgs=("acme",))
QUORUM = {"x-queue-type": "quorum"}
OWN = "consumer.crm.updates"
PUBLISHES = {
    "authorizer": {
        "mailbox.enumerate.v1",
        "mailbox.read.v1",
        "mailbox.read.v1.live",
        "mailbox.read.v1.exchange",
        "org.purge.v1.fetcher",
        "org.purge.v1.normalizer",
        "org.purge.v1.publisher",
    },
    "fetcher": {
        "mailbox.enumerate.v1",
        "mailbox.read.v1",
        "mailbox.read.v1.live",
        "mailbox.read.v1.exchange",
        "calendar.snapshot.v1",
        "calendar.snapshot.v1.live",
        "mailbox.unreadable.v1",
        "connection.doubted.v1",
        "org.purged.v1",
    },
    "normalizer": {"availability.snapshot.v1", "availability.snapshot.v1.live", "org.purged.v1"},
    "publisher": {"org.purged.v1"},
    "platform": {"org.connected.v1", "policy.changed.v1", "org.disconnected.v1"},
    "operator": {"mailbox.erase.v1"},
}
KEYS = sorted(key for queue in topology.QUEUES.values() for key in queue.keys)
RUNGS = [rung.name for rung in topology.DELAYED]
QUEUES = [*topology.QUEUES, *RUNGS, topology.PARKED]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Give a node that began with our definitions, as deploy/rabbitmq/rabbitmq.conf has it."""
    folder = tmp_path_factory.mktemp("rabbit")
    try:
        server = RabbitServer(folder)
    except Unavailable as missing:
        pytest.skip(f"no RabbitMQ of its own can be started: {missing}")
    definitions = folder / "definitions.json"
    definitions.write_bytes(document({name: f"pw-{name}" for name in USERS}, [CRM]))
    with (folder / "rabbitmq.conf").open("a", encoding="utf-8") as configuration:
        configuration.write(f"load_definitions = {definitions}\n")
    server.start()
    yield server.port
    server.stop()


def allowed(port: int, user: str, act: Callable[[Channel], object]) -> bool:
    """Do something on a channel of a user's own; say whether the broker let it happen."""
    with amqp.Connection(
        host=f"127.0.0.1:{port}", userid=user, password=f"pw-{user}", virtual_host=VHOST, login_method="PLAIN"
    ) as connection:
        try:
            act(connection.channel())
        except AccessRefused:
            return False
        return True


def publishing(exchange: str, key: str) -> Callable[[Channel], object]:
    def act(channel: Channel) -> None:
        channel.confirm_select()
        channel.basic_publish_confirm(amqp.Message("{}"), exchange=exchange, routing_key=key)

    return act


def consuming(queue: str) -> Callable[[Channel], object]:
    return lambda channel: channel.basic_consume(queue, callback=lambda _: None)


def declaring(queue: str, **arguments: str) -> Callable[[Channel], object]:
    return lambda channel: channel.queue_declare(
        queue,
        durable=True,
        auto_delete=False,
        arguments=QUORUM | {f"x-{k.replace('_', '-')}": v for k, v in arguments.items()},
    )


def binding(queue: str, exchange: str, key: str) -> Callable[[Channel], object]:
    return lambda channel: channel.queue_bind(queue, exchange, key)


@pytest.mark.parametrize("user", USERS)
def test_each_user_consumes_its_own_queues_and_no_others(port: int, user: str) -> None:
    can = {queue for queue in QUEUES if allowed(port, user, consuming(queue))}
    assert can == {*USERS[user].takes, *USERS[user].forgets}
    assert {name for name in can if name in RUNGS} <= {name for name in RUNGS if name.startswith(f"{user}.")}
    assert (topology.PARKED in can) is (user in {"operator", "fetcher"})


@pytest.mark.parametrize("user", USERS)
def test_each_user_publishes_its_own_messages_and_no_others(port: int, user: str) -> None:
    can = {key for key in KEYS if allowed(port, user, publishing(topology.EXCHANGE, key))}
    assert can == PUBLISHES[user]


@pytest.mark.parametrize("user", USERS)
def test_only_the_publisher_speaks_to_consumers(port: int, user: str) -> None:
    assert allowed(port, user, publishing(topology.AVAILABILITY, "acme.box")) is (user == "publisher")


@pytest.mark.parametrize("user", ["authorizer", "fetcher", "normalizer", "publisher"])
def test_a_service_can_delay_try_again_and_park(port: int, user: str) -> None:
    own = USERS[user].takes[0]
    assert all(allowed(port, user, publishing(exchange, own)) for exchange in sorted(topology.RESTING))
    assert allowed(port, user, publishing("", own))
    assert allowed(port, user, publishing("", topology.PARKED))


@pytest.mark.parametrize("user", USERS)
def test_a_user_sees_that_the_topology_is_there_but_cannot_change_it(port: int, user: str) -> None:
    assert allowed(port, user, lambda channel: channel.queue_declare("fetcher.live", passive=True))
    assert not allowed(port, user, declaring("of.its.own"))
    assert not allowed(port, user, lambda channel: channel.queue_delete("normalizer.snapshots"))
    assert not allowed(port, user, lambda channel: channel.exchange_delete("availability"))
    assert not allowed(port, user, binding(topology.PARKED, topology.AVAILABILITY, "#"))


def test_a_consumer_follows_its_org_through_the_queue_made_for_it(port: int) -> None:
    assert not allowed(port, "consumer-crm", declaring(OWN, overflow="reject-publish"))
    assert allowed(port, "consumer-crm", binding(OWN, topology.AVAILABILITY, "acme.box"))
    assert allowed(port, "publisher", publishing(topology.AVAILABILITY, "acme.box"))
    assert allowed(port, "consumer-crm", consuming(OWN))


@pytest.mark.parametrize("key", ["#", "*.box", "other.#", "acmes.#"])
def test_a_consumer_cannot_follow_another_org(port: int, key: str) -> None:
    assert not allowed(port, "consumer-crm", binding(OWN, topology.AVAILABILITY, key))


def test_a_consumer_cannot_follow_another_org_by_way_of_an_exchange_of_its_own(port: int) -> None:
    def detour(channel: Channel) -> None:
        channel.exchange_declare("consumer.crm.detour", "topic", durable=True, auto_delete=False)
        channel.exchange_bind("consumer.crm.detour", topology.AVAILABILITY, "#")

    assert not allowed(port, "consumer-crm", detour)


@pytest.mark.parametrize("queue", QUEUES)
def test_a_consumer_reads_nothing_of_the_pipeline(port: int, queue: str) -> None:
    assert not allowed(port, "consumer-crm", consuming(queue))


def test_a_consumer_cannot_bind_to_the_pipeline(port: int) -> None:
    assert not allowed(port, "consumer-crm", binding(OWN, topology.EXCHANGE, "acme.#"))


@pytest.mark.parametrize("exchange", ["", topology.EXCHANGE, topology.AVAILABILITY])
def test_a_consumer_publishes_nothing(port: int, exchange: str) -> None:
    assert not allowed(port, "consumer-crm", publishing(exchange, "org.connected.v1"))


@pytest.mark.parametrize("exchange", ["", topology.EXCHANGE])
def test_a_consumer_cannot_publish_by_way_of_dead_letters(port: int, exchange: str) -> None:
    forged = declaring("consumer.crm.forged", dead_letter_exchange=exchange, dead_letter_routing_key="org.connected.v1")
    assert not allowed(port, "consumer-crm", forged)


def test_nobody_else_can_log_in(port: int) -> None:
    with pytest.raises(AccessRefused):
        amqp.Connection(host=f"127.0.0.1:{port}", userid="guest", password="guest", login_method="PLAIN").connect()


def broker_of(port: int, user: str) -> Broker:
    return open_broker(f"amqp://{user}:pw-{user}@127.0.0.1:{port}/{VHOST}")


async def test_the_services_work_with_no_more_rights_than_these(port: int) -> None:
    users = ("fetcher", "normalizer", "publisher", "operator")
    fetcher, normalizer, publisher, operator = brokers = [broker_of(port, user) for user in users]
    stop, published = asyncio.Event(), list[Message]()

    async def publish(message: Message, delivery: Delivery) -> Done:
        if delivery.attempt == 1:
            raise Retry("not_yet", after=1.0)
        if not published:
            published.append(message)
            raise Reject("refused_once")
        published.append(message)
        return Done()

    hands = [
        asyncio.create_task(normalizer.run([Taker("normalizer.snapshots", handle)], service="normalizer", stop=stop)),
        asyncio.create_task(publisher.run([Taker("publisher.snapshots", publish)], service="publisher", stop=stop)),
    ]
    try:
        await fetcher.publish([snapshot()])
        await until(lambda: len(published) == 1, seconds=30)
        await replayed(operator, "rights-trial")
        await until(lambda: len(published) == 2, seconds=30)
        assert await fetcher.forget("rights-trial", "fetcher", parked=True) == 0
        assert await normalizer.forget("rights-trial", "normalizer") == 0
        assert await publisher.forget("rights-trial", "publisher") == 0
        told = ("rights-trial.box", b"{}", {"id": "1", "type": "availability.updated.v1"})
        while not await publisher.announce([told]):  # not accepted before it is connected
            await asyncio.sleep(0.05)
    finally:
        stop.set()
        await asyncio.gather(*hands, *(broker.close() for broker in brokers))
    assert {message.org_id for message in published} == {"rights-trial"}


def snapshot() -> CalendarSnapshot:
    return CalendarSnapshot(
        org_id="rights-trial",
        generation=1,
        mailbox=Mailbox(mailbox_id="box", address="person0001@contoso.com"),
        version=1,
        window=Window(0, DAY),
        as_of=0,
        policy=Policy(),
        events=(RawEvent(3600, 7200, "busy"),),
    )


async def replayed(operator: Broker, org_id: str) -> None:
    """Wait for the org's dead letter and put it back."""
    async with asyncio.timeout(30):
        while not (found := [letter for letter in await operator.parked() if letter.org_id == org_id]):
            await asyncio.sleep(0.05)
    assert found[0].reason == "refused_once"
    assert await operator.replay(found[0].parked_id)
