"""Details withdrawn while readings are in flight, parked and delayed: from then on no private word is told anywhere."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from msgspec import Struct
from sqlalchemy import select

from deploy.sandbox import Fault, FaultKind, SandboxOptions, start
from deploy.sandbox.calendars import CANARY
from services.publisher import consumers
from shared import clock
from shared.broker import Broker, Outgoing, open_broker, parked, topology, wire
from shared.broker.fates import Park
from shared.broker.wire import Letter, Taken
from shared.contracts.messages import (
    AvailabilitySnapshot,
    CalendarSnapshot,
    Message,
    PolicyChanged,
    PublicEvent,
    RawDetails,
    RawEvent,
)
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import Mailbox
from shared.store import Store, open_store
from shared.tables import orgs, timelines, updates
from tests.pipeline.embedded import Wanted, embedded
from tests.pipeline.fleet import Fleet, entry, environment
from tests.pipeline.leaving import Consumer
from tests.pipeline.scene import Scene
from tests.servers import empty
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MAILBOXES = 30
POLL = 2
DETAILS = Policy(detail=Detail.DETAILS, conferencing=True, poll_seconds=POLL)
NEWEST = 1_000_000  # a version above all others: only its generation keeps such a reading out
CANARY_BYTES = CANARY.encode()


class Heard:
    """What consumers are told over AMQP, on either engine."""

    def __init__(self, url: str = "") -> None:
        self._told: list[bytes] = []
        self._consumer = Consumer(url) if url else None

    def tap(self, where: str, body: bytes, _: Mapping[str, object]) -> None:
        """Take what is announced within this process."""
        if where == topology.AVAILABILITY:
            self._told.append(body)

    async def take(self) -> list[bytes]:
        """Return what was announced since the last time."""
        if self._consumer is not None:
            self._told += await asyncio.to_thread(self._consumer.bodies)
        told, self._told = self._told, []
        return told

    def close(self) -> None:
        """Leave."""
        if self._consumer is not None:
            self._consumer.close()


class Watched(Struct, frozen=True, kw_only=True):
    """An org under details, seen from everywhere."""

    scene: Scene
    broker: Broker
    heard: Heard
    port: int
    token: str


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["embedded", "apart"])
async def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """An org whose details are shown."""
    folder = tmp_path_factory.mktemp("policy")
    options = SandboxOptions(folder=folder, mailboxes=MAILBOXES, events=10, canaries=True)
    if request.param == "embedded":
        heard = Heard()
        async with embedded(Wanted(folder=folder, sandbox=options, policy=DETAILS, tap=heard.tap)) as here:
            token = await consumers.add(here.rim.store, "tests", ["acme"], now=clock.now())
            yield await _shown(here.scene, here.rim.broker, heard, (here.publisher_port, token))
        return
    rabbit, database = request.getfixturevalue("mortal_rabbitmq"), request.getfixturevalue("mortal_database")
    await asyncio.to_thread(empty, rabbit.url, list(topology.queue_arguments()))
    sandbox, store, broker = await start(options), open_store(database), open_broker(rabbit.url)
    fleet = await asyncio.to_thread(Fleet, folder, broker_url=rabbit.url, database_url=database, **environment(sandbox))
    heard = await asyncio.to_thread(Heard, rabbit.url)
    try:
        fleet.start_all()
        await fleet.ready()
        await fleet.connect("acme", entry(sandbox), DETAILS)
        yield await _shown(Scene(sandbox, store, org_id="acme", policy=DETAILS), broker, heard,
                           (fleet.port, fleet.token))  # fmt: skip
    finally:
        await asyncio.to_thread(fleet.end_all)
        heard.close()
        await broker.close()
        await store.close()
        await sandbox.stop()


async def _shown(scene: Scene, broker: Broker, heard: Heard, door: tuple[int, str]) -> Watched:
    await scene.agrees(within=180)
    found = Watched(scene=scene, broker=broker, heard=heard, port=door[0], token=door[1])
    await until(lambda: _announced(found), 30)
    return found


async def _announced(watched: Watched) -> bool:
    return any(CANARY_BYTES in body for body in await watched.heard.take())


async def test_no_details_are_told_once_they_are_withdrawn(watched: Watched) -> None:
    scene, broker = watched.scene, watched.broker
    assert CANARY_BYTES in b"".join([await _over_http(watched), await _stored(scene.store)])  # or nothing is shown
    before = await _generation(scene.store)
    old = _letters(scene, before)
    await _send(broker, [_parked(message) for message in old])
    for kind, seconds in ((FaultKind.SLOW, 2.0), (FaultKind.THROTTLE, 3.0)):
        scene.sandbox.order(Fault(kind=kind, match="calendarView", share=0.5, seconds=seconds, times=40))
    scene.stir(MAILBOXES)
    await until(lambda: any(order.struck for order in scene.sandbox.state.faults.orders), 30)
    await broker.publish([Outgoing(message, 2.0) for message in old])
    scene.policy = Policy(poll_seconds=POLL)
    await broker.publish([PolicyChanged(org_id="acme", policy=scene.policy)])
    await until(lambda: _risen(scene.store, before), 30)
    await asyncio.sleep(0)
    await watched.heard.take()
    told: list[bytes] = []
    while await scene.differences() or not told:
        told += [await _over_http(watched), await _stored(scene.store), *await watched.heard.take()]
    for letter in await broker.parked():
        assert await broker.replay(letter.parked_id)
    await until(lambda: _dry(broker), 30)
    scene.stir(10)
    await scene.agrees()
    told += [await _over_http(watched), await _stored(scene.store), *await watched.heard.take()]
    assert not [body for body in told if CANARY_BYTES in body]
    assert await broker.parked() == []


def _letters(scene: Scene, generation: int) -> list[Message]:
    """Return readings of the old generation that would win over every other, one of each sort for some mailboxes."""
    window, found = DETAILS.window_at(clock.now()), list[Message]()
    start, end = clock.now(), clock.now() + 3600
    private = RawDetails("e", f"{CANARY}parked", "o@x.example", (), "", "", "")
    for person in scene.people()[:4]:
        common: dict[str, Any] = {
            "org_id": "acme",
            "generation": generation,
            "mailbox": Mailbox(mailbox_id=person.user_id, address=person.address),
            "version": NEWEST,
            "window": window,
            "as_of": clock.now(),
        }
        raw = RawEvent(start, end, "busy", details=private)
        shown = PublicEvent(start=start, end=end, status="busy", subject=f"{CANARY}parked")
        found.append(CalendarSnapshot(**common, policy=DETAILS, events=(raw,)))
        found.append(AvailabilitySnapshot(**common, time_zone="UTC", blocks=(), events=(shown,)))
    return found


def _parked(message: Message) -> Letter:
    made = wire.letter(message, now=clock.exact())
    taken = Taken(
        queue=str(topology.queue_of(made.exchange, made.routing_key)),
        body=made.body,
        headers=made.headers,
        message_id=made.message_id,
        message_type=made.message_type,
        timestamp=made.timestamp,
        redelivered=False,
        tag=None,
        source=None,
    )
    return parked.letter(taken, Park(reason="bug"), now=clock.now())


async def _send(broker: Broker, letters: list[Letter]) -> None:
    engine: Any = broker
    await engine._engine.send(letters)


async def _dry(broker: Broker) -> bool:
    return not any([await broker.depth(name) for name in topology.queue_arguments()])


async def _over_http(watched: Watched) -> bytes:
    """Return everything a consumer is shown of every mailbox, as it comes."""
    base, found = f"http://127.0.0.1:{watched.port}/v1/orgs/acme", []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {watched.token}"}) as session:
        for person in watched.scene.people():
            async with session.get(f"{base}/mailboxes/{person.address}/availability") as answer:
                assert answer.status in {200, 404, 409}  # 409: nothing is known under this policy yet
                found.append(await answer.read())
    return b"".join(found)


async def _stored(store: Store) -> bytes:
    """Return what is kept to be shown: events of timelines, bodies of updates."""
    async with store.read() as connection:
        rows = [
            *await connection.execute(select(timelines.c.events)),
            *await connection.execute(select(updates.c.body)),
        ]
    return b"".join(bytes(row[0] or b"") for row in rows)


async def _generation(store: Store) -> int:
    async with store.read() as connection:
        return int((await connection.execute(select(orgs.c.generation))).scalar_one())


async def _risen(store: Store, before: int) -> bool:
    return await _generation(store) > before
