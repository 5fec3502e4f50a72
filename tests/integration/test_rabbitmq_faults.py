"""RabbitMQ killed, closing connections, turning us away: nothing confirmed is lost, and work goes on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import kombu
import pytest
from msgspec import Struct

from shared.broker import Broker, Consumer, Delivery, Done, Limits, Outgoing, open_broker, topology
from shared.contracts.messages import MailboxEnumerate, MailboxRead, Message
from shared.errors import Halt
from tests.servers import Container, RabbitServer, empty
from tests.waiting import until

BACKFILL, LIVE, ENUMERATE = "fetcher.backfill", "fetcher.live", "fetcher.enumerate"
POISON = b'{"type":"nobody.knows.v1"}'
Server = RabbitServer | Container


def read(number: int, *, live: bool = False) -> MailboxRead:
    return MailboxRead(org_id="acme", generation=1, mailbox_id=f"m{number}", since=number, live=live)


@pytest.fixture
def server(mortal_rabbitmq: Server) -> Iterator[Server]:
    empty(mortal_rabbitmq.url, list(topology.queue_arguments()))
    yield mortal_rabbitmq
    mortal_rabbitmq.start()


@pytest.fixture
async def broker(server: Server) -> AsyncIterator[Broker]:
    opened = open_broker(server.url)
    yield opened
    await opened.close()


async def killed_and_started(server: Server) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


@asynccontextmanager
async def working(broker: Broker, on_message: Callable[[int], None], queue: str = BACKFILL) -> AsyncIterator[None]:
    async def handle(message: Message, _: Delivery) -> Done:
        assert isinstance(message, MailboxRead)
        await asyncio.sleep(0.001)
        on_message(message.since)
        return Done()

    stop = asyncio.Event()
    task = asyncio.create_task(broker.run([Consumer(queue, handle, 16)], service="fetcher", stop=stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def test_nothing_confirmed_is_lost_when_the_broker_is_killed_under_load(server: Server, broker: Broker) -> None:
    confirmed: set[int] = set()
    handled: set[int] = set()
    enough = asyncio.Event()

    async def publish_until_enough() -> None:
        number = 0
        while not enough.is_set():
            batch = range(number, number + 20)
            await broker.publish([read(each) for each in batch])
            confirmed.update(batch)
            number += 20

    async with working(broker, handled.add):
        publishing = asyncio.create_task(publish_until_enough())
        await until(lambda: len(handled) > 200, 60)
        await killed_and_started(server)
        after_the_kill = len(handled)
        await until(lambda: len(handled) > after_the_kill + 200, 60)
        enough.set()
        await publishing
        await until(lambda: confirmed <= handled, 60)
        await until(lambda: _depth(broker, BACKFILL, 0), 60)


class Aftermath(Struct, frozen=True, kw_only=True):
    """What came of one kill, with the broker down for a while and then back."""

    published_while_down: bool
    stopped_while_down: bool
    in_hand: list[Delivery]
    its_work: int
    live: set[int]
    delayed: list[int]
    reasons: list[str]
    bodies: list[bytes | None]


@pytest.fixture(scope="module")
def aftermath(mortal_rabbitmq: Server) -> Aftermath:
    empty(mortal_rabbitmq.url, list(topology.queue_arguments()))
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(asyncio.run, one_kill(mortal_rabbitmq)).result()


async def one_kill(server: Server) -> Aftermath:
    """Have work in every state, kill the broker, have more come while it is down, start it, see what becomes of it."""
    broker, late = open_broker(server.url), open_broker(server.url)
    in_hand, entered, leave = list[Delivery](), asyncio.Event(), asyncio.Event()
    live, delayed = list[int](), list[int]()

    async def hold(_: Message, delivery: Delivery) -> Done:
        in_hand.append(delivery)
        number = 1000 + len(in_hand)
        entered.set()
        await leave.wait()
        return Done((read(number, live=True),))

    enumerate_ = MailboxEnumerate(org_id="acme", generation=1, run="0" * 32)
    await broker.publish([enumerate_, Outgoing(read(7), 3.0), Outgoing(read(8), 12.0)])
    await asyncio.to_thread(_publish_raw, server.url, POISON)
    try:
        async with working(broker, live.append, LIVE):
            await until(lambda: _depth(broker, LIVE, 0))
        async with holding(broker, hold):
            await entered.wait()
            await asyncio.to_thread(server.kill)
            stopped_while_down = await _started_and_stopped(server)
            async with working(late, live.append, LIVE):
                publishing = asyncio.create_task(late.publish([read(number, live=True) for number in range(600)]))
                await asyncio.wait({publishing}, timeout=0.5)
                while_down = publishing.done()
                await asyncio.to_thread(server.start)
                await asyncio.wait_for(publishing, 60)
                leave.set()
                await until(lambda: len(in_hand) == 2 and len(set(live)) >= 602, 60)
        async with working(broker, delayed.append, BACKFILL):
            await until(lambda: set(delayed) == {7, 8}, 60)
        parked = await broker.parked()
        return Aftermath(
            published_while_down=while_down,
            stopped_while_down=stopped_while_down,
            in_hand=in_hand,
            its_work=len({number for number in live if number > 1000}),
            live={number for number in live if number < 1000},
            delayed=delayed,
            reasons=[it.reason for it in parked],
            bodies=[await broker.show(it.parked_id) for it in parked],
        )
    finally:
        await broker.close()
        await late.close()


@asynccontextmanager
async def holding(broker: Broker, handle: Callable[[Message, Delivery], Awaitable[Done]]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(broker.run([Consumer(ENUMERATE, handle, 2)], service="fetcher", stop=stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def _started_and_stopped(server: Server) -> bool:
    """Say whether a service stops while its broker is down; a connection being opened may take its time-out first."""
    broker, stop = open_broker(server.url), asyncio.Event()
    task = asyncio.create_task(broker.run([_idle()], service="fetcher", stop=stop))
    await asyncio.wait({task}, timeout=0.3)
    stop.set()
    await asyncio.wait({task}, timeout=60)
    await broker.close()
    return task.done()


def _publish_raw(url: str, body: bytes) -> None:
    with kombu.Connection(url) as connection:
        kombu.Producer(connection.channel()).publish(
            body, routing_key=LIVE, type="nobody.knows.v1", content_type="application/json", content_encoding="utf-8"
        )


async def _depth(broker: Broker, queue: str, depth: int) -> bool:
    return await broker.depth(queue) == depth


def _idle() -> Consumer:
    async def handle(_: Message, __: Delivery) -> Done:
        return Done()

    return Consumer(BACKFILL, handle)


def test_publishing_waits_for_a_broker_that_is_down_and_then_succeeds(aftermath: Aftermath) -> None:
    assert not aftermath.published_while_down
    assert aftermath.live == set(range(600))


def test_a_service_stops_while_its_broker_is_down(aftermath: Aftermath) -> None:
    assert aftermath.stopped_while_down


def test_a_handler_in_hand_at_the_kill_finishes_and_its_message_comes_again(aftermath: Aftermath) -> None:
    assert [delivery.attempt for delivery in aftermath.in_hand] == [1, 1]
    assert aftermath.in_hand[1].redelivered
    assert aftermath.its_work == 2


def test_delayed_messages_survive_a_kill(aftermath: Aftermath) -> None:
    assert aftermath.delayed == [7, 8]


def test_dead_letters_survive_a_kill(aftermath: Aftermath) -> None:
    assert (aftermath.reasons, aftermath.bodies) == (["unknown_type"], [POISON])


async def test_connections_closed_by_the_broker_are_opened_again(server: Server, broker: Broker) -> None:
    if not isinstance(server, RabbitServer):
        pytest.skip("needs rabbitmqctl beside the broker")
    handled: set[int] = set()
    async with working(broker, handled.add):
        await broker.publish([read(number) for number in range(100)])
        await until(lambda: len(handled) == 100, 60)
        await asyncio.to_thread(server.close_connections)
        await broker.publish([read(number) for number in range(100, 200)])
        await until(lambda: len(handled) == 200, 60)


async def test_a_copy_that_came_back_too_often_is_parked_unhandled(server: Server) -> None:
    broker = open_broker(server.url, limits=Limits(deliveries=3))
    handled: list[int] = []
    try:
        await broker.publish([read(1)])
        for _ in range(3):
            await asyncio.to_thread(_taken_and_dropped, server.url)
        async with working(broker, handled.append):
            await until(lambda: _depth(broker, topology.PARKED, 1), 60)
        assert [(it.reason, it.attempts) for it in await broker.parked()] == [("crash_loop", 1)]
    finally:
        await broker.close()
    assert handled == []


def _taken_and_dropped(url: str) -> None:
    with kombu.Connection(url) as connection:
        assert connection.channel().basic_get(BACKFILL) is not None


async def test_a_wrong_password_ends_run_and_publish_with_a_reason(server: Server) -> None:
    broker = open_broker(server.url.replace("guest:guest", "guest:wrong"))
    try:
        with pytest.raises(Halt, match="broker_refused"):
            await asyncio.wait_for(broker.run([_idle()], service="fetcher", stop=asyncio.Event()), 60)
        with pytest.raises(Halt, match="broker_refused"):
            await asyncio.wait_for(broker.publish([read(1)]), 60)
    finally:
        await broker.close()


@pytest.mark.slow
async def test_a_broker_that_hangs_is_left_and_found_again(server: Server, broker: Broker) -> None:
    if not isinstance(server, RabbitServer):
        pytest.skip("needs the broker's process")
    handled: set[int] = set()
    async with working(broker, handled.add):
        await broker.publish([read(number) for number in range(50)])
        await until(lambda: len(handled) == 50, 60)
        await asyncio.to_thread(server.pause)
        publishing = asyncio.create_task(broker.publish([read(number) for number in range(50, 100)]))
        await asyncio.wait({publishing}, timeout=35)
        assert not publishing.done()
        await asyncio.to_thread(server.resume)
        await asyncio.wait_for(publishing, 60)
        await until(lambda: len(handled) == 100, 60)
