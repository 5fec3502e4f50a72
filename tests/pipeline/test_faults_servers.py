"""What happens to servers, clocks and queues: afterwards consumers are told what the calendars say, nothing is parked.

One fleet lives through all of it, one fault after the other, while calendars change before, during and after each.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pika
import pytest
from sqlalchemy import update

from shared import clock
from shared.broker import topology
from shared.tables import mailboxes
from tests.pipeline.conftest import Apart
from tests.pipeline.scene import said
from tests.servers import RabbitServer, execute
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

Fault = Callable[[Apart], Awaitable[None]]


async def broker_stopped(apart: Apart) -> None:
    rabbit = _own(apart)
    await asyncio.to_thread(rabbit.control, "stop_app")
    apart.scene.stir(10)
    await asyncio.to_thread(rabbit.control, "start_app")


async def broker_killed(apart: Apart) -> None:
    await asyncio.to_thread(apart.rabbit.kill)
    apart.scene.stir(10)
    await asyncio.to_thread(apart.rabbit.start)


async def broker_connections_closed(apart: Apart) -> None:
    await asyncio.to_thread(_own(apart).close_connections)


async def database_killed(apart: Apart) -> None:
    await asyncio.to_thread(apart.postgres.kill)
    apart.scene.stir(10)
    await asyncio.to_thread(apart.postgres.start)


async def database_connections_closed(apart: Apart) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'trial'"
    await asyncio.to_thread(execute, apart.postgres.url, others)


async def both_killed(apart: Apart) -> None:
    await asyncio.gather(asyncio.to_thread(apart.rabbit.kill), asyncio.to_thread(apart.postgres.kill))
    apart.scene.stir(10)
    await asyncio.gather(asyncio.to_thread(apart.rabbit.start), asyncio.to_thread(apart.postgres.start))


FAULTS: dict[str, Fault] = {
    "RabbitMQ stopped and started": broker_stopped,
    "RabbitMQ killed": broker_killed,
    "RabbitMQ closes its connections": broker_connections_closed,
    "PostgreSQL killed": database_killed,
    "PostgreSQL closes its connections": database_connections_closed,
    "both killed": both_killed,
}


def _own(apart: Apart) -> RabbitServer:
    if not isinstance(apart.rabbit, RabbitServer):
        pytest.skip("a container has no rabbitmqctl of ours")
    return apart.rabbit


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_availability_follows_the_calendars_when_a_server_fails(apart: Apart, fault: Fault) -> None:
    apart.scene.stir(20)
    await fault(apart)
    apart.scene.stir(20)
    await apart.scene.agrees(within=180)
    assert said(await apart.broker.parked()) == []
    assert apart.fleet.dead() == []


@pytest.mark.parametrize("seconds", [300, -300], ids=["ahead", "behind"])
async def test_availability_follows_the_calendars_when_a_fetchers_clock_is_five_minutes_off(
    apart: Apart, seconds: int
) -> None:
    fleet, scene = apart.fleet, apart.scene
    fleet.start("fetcher", 2, module="tests.pipeline.shifted", arguments=("fetcher", str(seconds)))
    await fleet.ready()
    for _ in range(3):
        scene.stir(20)
        await scene.agrees()
    await asyncio.to_thread(fleet.end, "fetcher.2")
    async with scene.store.write() as connection:
        # What it read last is due, and counts as read, by its clock: at most these five minutes late. No test waits.
        await connection.execute(update(mailboxes).values(due_at=clock.now(), read_at=0))
    assert said(await apart.broker.parked()) == []


POISON = (b"", b"\xff\xfe", b"{", b"null", b'{"type":"mailbox.read.v1"}', b"[" * 100_000)


async def test_poison_in_every_queue_is_parked_and_stops_nothing(apart: Apart) -> None:
    apart.scene.stir(10)
    await asyncio.to_thread(_poison, apart.rabbit.url)
    apart.scene.stir(10)
    await until(lambda: _parked(apart, len(POISON) * len(topology.QUEUES)), 30)
    await apart.scene.agrees()
    assert apart.fleet.dead() == []
    letters = await apart.broker.parked(limit=1000)
    assert {letter.queue for letter in letters} == set(topology.QUEUES)
    assert {letter.reason for letter in letters} <= {"malformed", "unknown_type"}
    for letter in letters:
        assert await apart.broker.drop(letter.parked_id)


def _poison(url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for queue in topology.QUEUES:
            for body in POISON:
                channel.basic_publish("", queue, body)


async def _parked(apart: Apart, count: int) -> bool:
    return len(await apart.broker.parked(limit=1000)) >= count
