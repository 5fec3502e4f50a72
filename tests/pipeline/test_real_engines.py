"""RabbitMQ and PostgreSQL, the services as processes: the same answers, whatever is killed on the way."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.command import published
from deploy.command.privacy import proof
from deploy.sandbox import Sandbox, SandboxOptions, start
from shared import clock
from shared.broker import open_broker
from shared.contracts.policy import Policy
from tests.pipeline.expected import expected_rows, published_line
from tests.pipeline.fleet import SERVICES, Fleet, entry, environment
from tests.servers import Container, RabbitServer

ORG = "acme"
MAILBOXES = 500


@asynccontextmanager
async def sandbox(folder: Path, **more: Any) -> AsyncIterator[Sandbox]:
    started = await start(
        SandboxOptions(folder=folder, **({"mailboxes": MAILBOXES, "events": 20, "latency": 0.05} | more))
    )
    try:
        yield started
    finally:
        await started.stop()


async def compare(fleet: Fleet, microsoft: Sandbox) -> None:
    """Compare what consumers see with the calendars, and see that nothing was parked."""
    async with fleet.api(ORG) as api:
        rows = await published.rows(api)
    told = {row["mailbox"]: published_line(row) for row in rows if row["coverage"] == "full"}
    assert told == expected_rows(microsoft, Policy().window_at(clock.now()))
    broker = open_broker(fleet.deployment.broker_url.reveal())
    try:
        assert await broker.parked() == []
    finally:
        await broker.close()


async def reached(fleet: Fleet, count: int, *, within: float = 120) -> None:
    """Wait until so many mailboxes have coverage."""
    async with asyncio.timeout(within), fleet.api(ORG) as api:
        while True:
            try:
                if published.progress(await api.status()).done >= count:
                    return
            except aiohttp.ClientError:  # the publisher is being restarted
                pass
            await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_kill_9_of_any_service_changes_nothing_in_the_end(
    tmp_path: Path, amqp_url: str, postgres_url: str
) -> None:
    async with sandbox(tmp_path) as microsoft:
        with Fleet(tmp_path, broker_url=amqp_url, database_url=postgres_url, **environment(microsoft)) as fleet:
            fleet.start_all()
            await fleet.ready()
            await fleet.connect(ORG, entry(microsoft), Policy())
            for count, name in zip((1, 100, 200, 300), SERVICES, strict=True):
                await reached(fleet, count)
                fleet.kill(name)
                fleet.start(name)
            await fleet.settled(ORG)
            await compare(fleet, microsoft)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_kill_9_of_the_broker_changes_nothing_in_the_end(
    tmp_path: Path, mortal_rabbitmq: RabbitServer | Container, postgres_url: str
) -> None:
    rabbit = mortal_rabbitmq
    async with sandbox(tmp_path) as microsoft:
        with Fleet(tmp_path, broker_url=rabbit.url, database_url=postgres_url, **environment(microsoft)) as fleet:
            fleet.start_all()
            await fleet.ready()
            await fleet.connect(ORG, entry(microsoft), Policy())
            await reached(fleet, 100)
            await asyncio.to_thread(rabbit.kill)
            await asyncio.to_thread(rabbit.start)
            await fleet.settled(ORG)
            await compare(fleet, microsoft)
            assert fleet.dead() == []


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_four_fetchers_read_no_mailbox_twice(tmp_path: Path, amqp_url: str, postgres_url: str) -> None:
    async with sandbox(tmp_path, mailboxes=200) as microsoft:
        with Fleet(tmp_path, broker_url=amqp_url, database_url=postgres_url, **environment(microsoft)) as fleet:
            fleet.start_all(fetchers=4)
            await fleet.ready()
            await fleet.connect(ORG, entry(microsoft), Policy())
            await fleet.settled(ORG)
            await compare(fleet, microsoft)
            async with fleet.api(ORG) as api:
                versions = [listed["version"] for listed in await api.mailboxes() if listed["coverage"] == "full"]
            assert versions == [1] * 200  # every reading takes a version
            verification = 1  # the authorizer looks at one day of one mailbox
            assert microsoft.requests.views.total() == 200 + verification


@pytest.mark.slow
async def test_both_engines_write_the_same_bytes(tmp_path: Path, amqp_url: str, postgres_url: str) -> None:
    outs = []
    for name, engines in {"embedded": [], "real": ["--broker", amqp_url, "--database", postgres_url]}.items():
        out = tmp_path / f"{name}.jsonl"
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "busyline"), "demo", "--mailboxes", "40", "--once", "--out", str(out),
            "--window", "2026-01-01..2027-12-31", *engines, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await process.wait() == 0
        outs.append(_without_reading_times(out))
    assert len(outs[0]) > 40
    assert outs[0] == outs[1]


def _without_reading_times(out: Path) -> list[bytes]:
    return [json.dumps(json.loads(line) | {"as_of": None}).encode() for line in out.read_bytes().splitlines()]


@pytest.mark.slow
async def test_nothing_private_is_found_on_the_real_engines(amqp_url: str, postgres_url: str) -> None:
    places = await proof(mailboxes=12, broker_url=amqp_url, database_url=postgres_url)
    assert {place.name: place.found for place in places if place.found} == {}
    assert all(place.things > 0 for place in places)
