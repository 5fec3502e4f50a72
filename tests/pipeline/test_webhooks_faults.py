"""Webhooks among faults: whatever fails on the way, a consumer ends with exactly the publisher's state."""

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, web
from sqlalchemy import select, update

from services.publisher.log import Scope, page
from services.publisher.news import update as update_of
from services.publisher.timeline import from_row
from services.publisher.timelines import publish
from services.publisher.webhooks.delivery import Post
from services.publisher.webhooks.lease import LEASE, claim, workable
from services.publisher.webhooks.sending import Sender
from services.publisher.webhooks.worker import Worker
from shared.addresses import networks_of
from shared.contracts.values import DAY, Block, Bucket, Coverage, Status, Window
from shared.store import Store, open_store
from shared.tables import timelines, updates, webhooks
from shared.vault import load_vault
from tests.processes import Group, free_port
from tests.unit.publisher.hooks import Clock, Taker, consumer, make, post_with, serve, standing
from tests.unit.publisher.readings import HOUR, MONDAY, connect, hourly, snapshot, unreadable
from tests.waiting import until

HERE = networks_of("127.0.0.0/8")
MAILBOXES = ("m1", "m2", "m3", "m4")
WINDOW = Window(MONDAY, MONDAY + 5 * DAY)


class Endpoint:
    """A consumer's server: it takes deliveries, or fails as chance has it, before or after having taken them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.taker = Taker()
        self.faulty = True
        self.faults: Counter[str] = Counter()
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = self.chance.choice(["none"] * 6 + ["500", "503", "429", "404", "302", "hang", "cut", "taken and cut"])
        fault = fault if self.faulty else "none"
        self.faults[fault] += 1
        if fault in {"none", "taken and cut"}:
            self.taker.take(body, request.headers)
        if fault in {"cut", "taken and cut"}:
            assert request.transport is not None
            request.transport.abort()
        if fault == "hang":
            await asyncio.sleep(60)
        if fault.isdigit():
            return web.Response(status=int(fault), headers={"Retry-After": "1", "Location": self.url})
        return web.Response(status=204)


@asynccontextmanager
async def endpoint(chance: random.Random) -> AsyncIterator[Endpoint]:
    found = Endpoint(chance)
    app = web.Application()
    app.router.add_post("/hook", found.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield found
    finally:
        await runner.cleanup()


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    await consumer(opened)
    yield opened
    await opened.close()


def line(chance: random.Random) -> tuple[Block, ...]:
    """Return blocks by chance, an hour apart or more."""
    hours = sorted(chance.sample(range(119), 12))
    return tuple(
        Block(MONDAY + start * HOUR, MONDAY + end * HOUR, chance.choice([Status.BUSY, Status.OOF]))
        for start, end in zip(hours[::2], hours[1::2], strict=True)
        if start < end
    )


async def change(store: Store, chance: random.Random, version: int, generation: int) -> None:
    """Publish something new of some mailboxes."""
    found: list[Any] = []
    for mailbox in chance.sample(MAILBOXES, chance.randint(1, 3)):
        if chance.random() < 0.15:
            bucket = chance.choice([Bucket.REMOVED, Bucket.DENIED])
            found.append(unreadable(bucket, mailbox_id=mailbox, version=version, generation=generation))
        else:
            blocks = line(chance)
            found.append(snapshot(*blocks, mailbox_id=mailbox, version=version, generation=generation, window=WINDOW))
    await publish(store, found, now=MONDAY)


async def assert_same(store: Store, taker: Taker) -> None:
    """See that a consumer's copies are what is published, to the hour."""
    async with store.read() as connection:
        rows = [from_row(dict(row)) for row in (await connection.execute(select(timelines))).mappings()]
    assert rows
    for row in rows:
        copy = taker.copies[(row.org_id, row.mailbox_id)]
        known = row.coverage is Coverage.FULL
        assert copy.known is known
        if known:
            assert copy.line == hourly(update_of(row, row.window).busy)


class Killed(Exception):  # noqa: N818 -- it is what became of it
    """The replica is gone."""


class Mortal:
    """A store that can be used so many times; then its user is dead, whatever it had not committed undone."""

    def __init__(self, store: Store, uses: int) -> None:
        self.store, self.uses = store, uses

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def use(self) -> None:
        self.uses -= 1
        if self.uses <= 0:
            raise Killed

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        self.use()
        async with self.store.write() as connection:
            yield connection
            self.use()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        self.use()
        async with self.store.read() as connection:
            yield connection


async def serve_and_die(post: Post, chance: random.Random, number: int) -> None:
    """Have a replica serve until it dies: it writes nothing more, and its lease stays."""
    mortal: Any = Mortal(post.store, chance.randint(2, 40))
    for webhook_id in await workable(post.store, now=int(post.now()), limit=5):
        lease = f"dies-{number}"
        if await claim(post.store, webhook_id, lease, now=int(post.now())):
            dying = msgspec.structs.replace(post, store=mortal)
            with suppress(Killed):
                await Worker(dying, webhook_id, lease, asyncio.Event()).serve()


@pytest.mark.parametrize("seed", [1])
async def test_a_consumer_ends_with_the_publishers_state_whatever_fails_on_the_way(
    store: Store, tmp_path: Path, seed: int
) -> None:
    chance, clock = random.Random(seed), Clock()
    sender = Sender(HERE, timeout=0.15)
    async with endpoint(random.Random(seed)) as there:
        post = msgspec.structs.replace(post_with(store, tmp_path, sender, clock), luck=chance.random)
        webhook, there.taker.secret = await make(post, url=there.url)
        generation = deaths = 0
        for step in range(30):
            if step % 10 == 0:
                generation += 1
                await connect(store, generation=generation)
            await change(store, chance, step + 1, generation)
            if chance.random() < 0.3:
                await serve_and_die(post, chance, step)
                deaths += 1
                clock.passes(LEASE + 1)
            else:
                await serve(post)
            clock.passes(chance.choice([0, 1, 10, 400, 4000]))
        there.faulty = False
        everything = [snapshot(*line(chance), mailbox_id=each, version=99, generation=generation) for each in MAILBOXES]
        await publish(store, everything, now=MONDAY)
        for _ in range(4):
            clock.passes(DAY)
            await serve(post)
    await sender.close()
    taker, after = there.taker, await standing(store, webhook.webhook_id)
    assert (after.state, after.waiting, after.failures) == ("enabled", 0, 0)
    await assert_same(store, taker)
    kept = {told.position for told in (await page(store, Scope(None), after=0, limit=1000)).rows}
    gaps = kept - set(taker.positions)
    print(
        f"\n{len(taker.positions)} taken, {taker.duplicates} twice, {len(gaps)} gaps, {deaths} deaths, {there.faults}"
    )
    assert not gaps
    assert taker.in_order()
    assert taker.duplicates <= there.faults["taken and cut"] + deaths * 32
    assert len(there.faults) >= 5


async def test_a_publisher_that_is_killed_delivers_everything_when_it_is_started_again(
    sqlite_url: str, tmp_path: Path
) -> None:
    store = open_store(sqlite_url)
    load_vault(tmp_path / "keys", create=True)
    await connect(store)
    token = await consumer(store)
    async with endpoint(random.Random(3)) as there:
        there.faulty = False
        running, url = publisher(sqlite_url, tmp_path)
        try:
            headers = {"Authorization": f"Bearer {token}"}
            async with ClientSession(headers=headers) as session:
                await until(lambda: answers(session, url), 60)
                async with session.post(f"{url}/v1/webhooks", json={"url": there.url}) as response:
                    made = await response.json()
                there.taker.secret = made["secret"]
                async with session.post(f"{url}/v1/webhooks/{made['webhook']['id']}/test") as response:
                    assert (await response.json())["outcome"] == "delivered"
            chance = random.Random(4)
            for step in range(20):
                await change(store, chance, step + 1, 1)
            await until(lambda: len(there.taker.positions) >= 5, 60)
            running.kill()
            before = len(there.taker.positions)
            for step in range(20, 30):
                await change(store, chance, step + 1, 1)
            async with store.write() as connection:  # as if the lease's minute were over
                await connection.execute(update(webhooks).values(lease_until=0))
            running, _ = publisher(sqlite_url, tmp_path)
            async with store.read() as connection:
                kept = set((await connection.execute(select(updates.c.position))).scalars())
            await until(lambda: kept <= set(there.taker.positions), 60)
        finally:
            running.kill()
    print(f"\n{before} before the kill, {len(there.taker.positions)} in all, {there.taker.duplicates} twice, 0 gaps")
    assert there.taker.in_order()
    assert there.taker.duplicates <= 32
    await assert_same(store, there.taker)
    await store.close()
    assert there.taker.secret not in (tmp_path / "output").read_text()


def publisher(database: str, folder: Path) -> tuple[Group, str]:
    """Start a publisher of its own on a database, and return it with its URL."""
    port = free_port()
    environment = {
        **os.environ,
        "BUSYLINE_DATABASE_URL": database,
        "BUSYLINE_BROKER_URL": "memory://",
        "BUSYLINE_KEYS_FILE": str(folder / "keys"),
        "BUSYLINE_REACH_NETWORKS": "127.0.0.0/8",
        "BUSYLINE_PUBLISHER_PORT": str(port),
        "BUSYLINE_PUBLISHER_KEEP_UPDATES_DAYS": "0",  # what these tests publish is of long ago
        "PYTHONPATH": str(Path.cwd()),
    }
    command = [sys.executable, "-m", "services.publisher"]
    return Group(command, folder, environment=environment), f"http://127.0.0.1:{port}"


async def answers(session: ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/livez") as response:
            return response.status == 200
    except OSError:
        return False
