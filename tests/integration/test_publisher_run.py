"""Normalizer and publisher side by side: a raw snapshot goes in, consumers hear of it, and can ask."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession
from msgspec import Struct

from services.normalizer import __main__ as normalizer
from services.normalizer.handler import normalize
from services.normalizer.settings import Settings as NormalizerSettings
from services.publisher import __main__ as publisher
from services.publisher.consumers import add
from services.publisher.settings import Settings as PublisherSettings
from shared.broker import Broker, Consumer, Delivery, Done, Outgoing, open_broker
from shared.config import Deployment
from shared.contracts.messages import (
    AvailabilitySnapshot,
    CalendarSnapshot,
    MailboxUnreadable,
    Message,
    OrgPurge,
    OrgPurged,
    Purged,
    RawEvent,
)
from shared.contracts.policy import Policy
from shared.contracts.values import Bucket, Mailbox
from shared.health import Health
from shared.process import Rim
from shared.store import Store, open_store
from tests.unit.publisher.readings import HOUR, MONDAY, WINDOW, connect

ROOM = Mailbox(mailbox_id="m-0001", address="room.0001@example.com", time_zone="W. Europe Standard Time")


class Running(Struct):
    """The two services at work, and what consumers were told."""

    broker: Broker
    store: Store
    url: str
    health: Health
    told: list[dict[str, Any]]


@asynccontextmanager
async def running(broker_url: str, store_url: str) -> AsyncIterator[Running]:
    """Run both services until the block ends."""
    told: list[dict[str, Any]] = []

    def hear(where: str, body: bytes, _: Mapping[str, object]) -> None:
        if where == "availability":
            told.append(json.loads(body))

    broker, store = open_broker(broker_url, tap=hear), open_store(store_url)
    rim = Rim(broker=broker, store=store, stop=asyncio.Event(), health=Health())
    ports: asyncio.Queue[int] = asyncio.Queue()
    services = asyncio.gather(
        normalizer.run(Deployment(), NormalizerSettings(), rim),
        publisher.run(Deployment(), PublisherSettings(port=0), rim, bound=ports.put_nowait),
    )
    try:
        port = await asyncio.wait_for(ports.get(), 10)
        yield Running(broker, store, f"http://127.0.0.1:{port}", rim.health, told)
    finally:
        rim.stop.set()
        await asyncio.wait_for(services, 20)
        await broker.close()
        await store.close()


def reading(version: int, *events: RawEvent) -> CalendarSnapshot:
    return CalendarSnapshot(
        org_id="acme",
        generation=1,
        mailbox=ROOM,
        version=version,
        window=WINDOW,
        as_of=MONDAY + version,
        policy=Policy(),
        events=events,
    )


async def until_told(at_work: Running, count: int) -> None:
    async with asyncio.timeout(20):
        while len(at_work.told) < count:
            await asyncio.sleep(0.01)


async def test_a_raw_snapshot_reaches_consumers_and_can_be_asked_for(broker_url: str, sqlite_url: str) -> None:
    async with running(broker_url, sqlite_url) as at_work:
        await connect(at_work.store)
        bearer = {"Authorization": f"Bearer {await add(at_work.store, 'app', ['acme'], now=MONDAY)}"}
        await at_work.broker.publish([reading(1, RawEvent(MONDAY, MONDAY + HOUR, "oof"))])
        await until_told(at_work, 1)
        (event,) = at_work.told
        assert event["data"]["busy"] == [
            {"start": "2026-01-05T00:00:00Z", "end": "2026-01-05T01:00:00Z", "status": "oof"}
        ]
        assert event["data"]["time_zone"] == "Europe/Berlin"
        path = f"{at_work.url}/v1/orgs/acme/mailboxes/{ROOM.address}/availability"
        async with ClientSession() as session, session.get(path, headers=bearer) as response:
            answer = await response.json()
        assert answer["busy"] == event["data"]["busy"]
        assert answer["position"] == int(event["sequence"])


async def test_redelivered_and_late_readings_tell_nothing_more(broker_url: str, sqlite_url: str) -> None:
    async with running(broker_url, sqlite_url) as at_work:
        await connect(at_work.store)
        newest = reading(3, RawEvent(MONDAY, MONDAY + HOUR, "busy"))
        await at_work.broker.publish([newest])
        await until_told(at_work, 1)
        await at_work.broker.publish([newest, reading(2), newest])
        gone = MailboxUnreadable(
            org_id="acme", generation=1, mailbox=ROOM, version=4, as_of=MONDAY, bucket=Bucket.REMOVED, reason="removed"
        )
        await at_work.broker.publish([gone])
        await until_told(at_work, 2)
    assert [event["type"] for event in at_work.told] == ["availability.updated.v1", "mailbox.removed.v1"]


async def test_what_was_written_before_a_stop_is_told_after_the_next_start(sqlite_url: str) -> None:
    async with running("memory://", sqlite_url) as at_work:
        await connect(at_work.store)
        await at_work.broker.publish([reading(1)])
        await until_told(at_work, 1)
    async with running("memory://", sqlite_url) as again:
        await again.broker.publish([reading(2, RawEvent(MONDAY, MONDAY + HOUR, "busy"))])
        await until_told(again, 1)
        assert again.told[0]["data"]["version"] == 2


async def test_both_services_say_that_they_are_ready(sqlite_url: str) -> None:
    async with running("memory://", sqlite_url) as at_work:
        async with asyncio.timeout(10):
            while not at_work.health.ready:
                await asyncio.sleep(0.01)
        assert at_work.health.missing() == []


async def test_a_port_that_is_taken_ends_the_publisher_at_once(sqlite_url: str) -> None:
    async with running("memory://", sqlite_url) as at_work:
        rim = Rim(broker=at_work.broker, store=at_work.store, stop=asyncio.Event(), health=Health())
        taken = int(at_work.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            await publisher.run(Deployment(), PublisherSettings(port=taken), rim)


async def test_live_readings_are_told_though_deep_backfill_waits(broker_url: str, sqlite_url: str) -> None:
    behind = [
        msgspec.structs.replace(
            reading(1), mailbox=Mailbox(mailbox_id=f"b-{number}", address=f"b-{number}@example.com")
        )
        for number in range(1500)
    ]
    filling = open_broker(broker_url)
    try:
        await filling.publish(behind)
        async with running(broker_url, sqlite_url) as at_work:
            await connect(at_work.store)
            await at_work.broker.publish([msgspec.structs.replace(reading(1), live=True)])
            async with asyncio.timeout(20):
                while not any(event["subject"] == ROOM.mailbox_id for event in at_work.told):
                    await asyncio.sleep(0.01)
            assert len(at_work.told) < 1000
    finally:
        await filling.close()


async def test_an_org_that_left_is_purged_by_both_and_consumers_are_told(broker_url: str, sqlite_url: str) -> None:
    async with running(broker_url, sqlite_url) as at_work:
        await connect(at_work.store)
        await at_work.broker.publish([reading(1, RawEvent(MONDAY, MONDAY + HOUR, "busy"))])
        await until_told(at_work, 1)
        await connect(at_work.store, generation=2, state="disconnecting")
        services: tuple[Purged, ...] = ("normalizer", "publisher")
        asked = [OrgPurge(org_id="acme", generation=2, purge_id="0" * 32, service=name) for name in services]
        await at_work.broker.publish([*asked, Outgoing(reading(2), 700), Outgoing(found_later(), 700)])
        await until_told(at_work, 2)
        assert (at_work.told[1]["type"], at_work.told[1]["data"]["org_id"]) == ("org.removed.v1", "acme")
        answers: dict[str, OrgPurged] = {}

        async def note(message: Message, _: Delivery) -> Done:
            assert isinstance(message, OrgPurged)
            answers[message.service] = message
            return Done()

        stop = asyncio.Event()
        taking = asyncio.create_task(
            at_work.broker.run([Consumer("authorizer.reports", note)], service="authorizer", stop=stop)
        )
        async with asyncio.timeout(20):
            while len(answers) < 2:
                await asyncio.sleep(0.01)
        stop.set()
        await taking
        assert answers["publisher"].counts["timelines"] == answers["publisher"].counts["updates"] == 1
        for rung in ("normalizer.delayed.60s", "publisher.delayed.60s"):
            assert await at_work.broker.depth(rung) == 0


def found_later() -> AvailabilitySnapshot:
    """Return what would come to the publisher of the org."""
    return normalize(reading(2))
