"""How fast the update log is announced: the real relay to a real RabbitMQ with confirms, beside bare publishing.

One queue is bound to everything. The floor publishes the same bytes from memory over the same connection class.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pika
from sqlalchemy import select

from services.publisher.bell import Bell
from services.publisher.envelope import Told, announcement
from services.publisher.news import UPDATED
from services.publisher.relay import begin, relay
from services.publisher.samples import event
from shared import clock
from shared.broker import address, link, open_broker, topology, wire
from shared.broker.declare import ensure
from shared.health import Health
from shared.migrate import upgrade
from shared.store import Store, open_store
from shared.tables import relay as cursors
from shared.tables import updates
from tests.bench.surroundings import Servers
from tests.unit.publisher.readings import connect

QUEUE = "consumer.bench.updates"
KINDS: dict[str, dict[str, str] | None] = {
    "quorum": {"x-queue-type": "quorum"},
    "classic": {"x-queue-type": "classic"},
    "none": None,
}


async def relaying(folder: Path, servers: Servers, *, number: int = 100_000) -> None:
    """Print the relay's pace from both databases, and the floor's."""
    body = _body()
    print(f"\n## {number:,} updates of {len(body)} bytes announced, confirmed, to one bound queue")
    folder.mkdir(parents=True, exist_ok=True)
    url = servers.broker()
    databases = {"PostgreSQL": await asyncio.to_thread(servers.database), "SQLite": f"sqlite:///{folder / 'relay.db'}"}
    for name, database in databases.items():
        await asyncio.to_thread(upgrade, database)
        async with _filled(database, body, number) as store, _bound(url, "quorum"):
            await _timed(f"relay, {name}", servers, number, _relay_all(store, url, number))
    for kind in KINDS:
        async with _bound(url, kind):
            await _timed(f"bare pika, {kind}", servers, number, _publish_all(url, body, number))


def _body() -> bytes:
    """Return what an update holds: a mailbox with a few meetings moved."""
    data = event(UPDATED)["data"]
    data["busy"] = data["busy"] * 2
    del data["working_hours"]
    return wire._encode(data)


async def _timed(what: str, servers: Servers, number: int, run: Awaitable[None]) -> None:
    before, used, started = servers.cpu(), time.process_time(), time.perf_counter()
    await run
    wall, used = time.perf_counter() - started, time.process_time() - used
    share = "  ".join(f"{name} {after - before[name]:5.1f} s" for name, after in servers.cpu().items())
    print(f"{what:<20} {wall:6.1f} s = {number / wall:8,.0f}/s   CPU: publisher {used:5.1f} s  {share}", flush=True)


@asynccontextmanager
async def _filled(url: str, body: bytes, number: int) -> AsyncIterator[Store]:
    store = open_store(url)
    await connect(store)
    await begin(store)
    fixed = {"org_id": "acme", "generation": 1, "type": UPDATED, "created_at": clock.now(), "body": body}
    for first in range(0, number, 10_000):
        rows = [fixed | {"mailbox_id": f"m-{n % 2000:04}"} for n in range(first, min(first + 10_000, number))]
        async with store.write() as connection:
            await connection.execute(updates.insert(), rows)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _bound(url: str, kind: str) -> AsyncIterator[None]:
    """Bind one queue of a kind to everything while the block runs."""
    ensure(address.parse(url))
    arguments = KINDS[kind]
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        if arguments is not None:
            channel.queue_declare(QUEUE, durable=True, arguments=arguments)
            channel.queue_bind(QUEUE, topology.AVAILABILITY, "#")
    try:
        yield
    finally:
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            connection.channel().queue_delete(QUEUE)


async def _relay_all(store: Store, url: str, number: int) -> None:
    broker, stop = open_broker(url), asyncio.Event()
    running = asyncio.create_task(relay(store, broker, health=Health(), bell=Bell(), stop=stop))
    position = 0
    while position < number:
        await asyncio.sleep(0.2)
        async with store.read() as connection:
            position = (await connection.execute(select(cursors.c.position))).scalar_one()
    stop.set()
    await running
    await broker.close()


async def _publish_all(url: str, body: bytes, number: int) -> None:
    """Publish from memory, a thousand at a time, each thousand confirmed before the next but one."""
    connection, lost = await link.connect(address.parse(url))
    channel: Any = await link.channel(connection, lost)
    confirmed, turn = 0, asyncio.Event()

    def on_confirm(frame: Any) -> None:
        nonlocal confirmed
        confirmed = max(confirmed, frame.method.delivery_tag)
        turn.set()

    await link.ask(channel, channel.confirm_delivery, ack_nack_callback=on_confirm)
    told = Told(position=1, org_id="acme", mailbox_id="m-0001", type=UPDATED, created_at=clock.now(), body=body)
    letter = wire.announcement(*announcement(told), now=0)
    properties = link.properties(letter)
    for sent in range(0, number, 1000):
        for _ in range(1000):
            channel.basic_publish(letter.exchange, letter.routing_key, letter.body, properties)
        while confirmed < sent:
            turn.clear()
            await turn.wait()
    while confirmed < number:
        turn.clear()
        await turn.wait()
    await link.close(connection)
