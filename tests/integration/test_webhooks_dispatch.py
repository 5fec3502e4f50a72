"""Replicas serve webhooks beside each other: each by one of them, and nobody's slowness is anybody else's."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from services.publisher.bell import Bell
from services.publisher.timelines import publish
from services.publisher.webhooks import dispatch, registry
from services.publisher.webhooks.delivery import Post
from services.publisher.webhooks.dispatch import Dispatcher
from services.publisher.webhooks.retries import Attempt
from services.publisher.webhooks.signing import Keys
from shared import logs
from shared.store import Store, open_store
from shared.tables import updates, webhooks
from shared.vault import load_vault
from tests.unit.publisher.hooks import Clock, FakeSender, Taker, consumer, good, make, post_with
from tests.unit.publisher.readings import MONDAY, busy, connect, snapshot
from tests.waiting import until


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    await consumer(opened)
    yield opened
    await opened.close()


class Many(FakeSender):
    """A sender with a taker for each URL; those named hang until they are let go."""

    def __init__(self) -> None:
        super().__init__(Taker())
        self.takers: dict[str, Taker] = {}
        self.hanging: set[str] = set()
        self.let_go = asyncio.Event()
        self.under_way = 0

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        self.under_way += 1
        try:
            if url in self.hanging or any(word.encode() in body for word in self.hanging):
                await self.let_go.wait()
            await asyncio.sleep(0)
            self.takers.setdefault(url, Taker()).take(body, headers)
        finally:
            self.under_way -= 1
        return good()


@asynccontextmanager
async def dispatching(post: Post, replicas: int = 1) -> AsyncIterator[list[Bell]]:
    stop, bells = asyncio.Event(), [Bell() for _ in range(replicas)]
    running = [asyncio.create_task(Dispatcher(post, bell, stop).run()) for bell in bells]
    try:
        yield bells
    finally:
        stop.set()
        await asyncio.gather(*running)


async def tell(store: Store, *mailboxes: str, version: int) -> None:
    found = [snapshot(busy(version, version + 1), mailbox_id=each, version=version) for each in mailboxes]
    await publish(store, found, now=MONDAY)


async def positions(store: Store) -> list[int]:
    async with store.read() as connection:
        return list((await connection.execute(select(updates.c.position).order_by(updates.c.position))).scalars())


async def test_several_replicas_deliver_everything_once_and_in_order(store: Store, tmp_path: Path) -> None:
    sender = Many()
    post = post_with(store, tmp_path, sender, Clock())
    urls = [f"https://{name}.example/" for name in "abc"]
    for url in urls:
        await make(post, url=url)
    async with dispatching(post, replicas=3) as bells:
        for version in range(1, 9):
            await tell(store, "m1", "m2", "m3", version=version)
            for bell in bells:
                bell.ring()
        told = await positions(store)
        await until(lambda: all(len(sender.takers.get(url, Taker()).positions) >= len(told) for url in urls), 60)
    for url in urls:
        taker = sender.takers[url]
        assert sorted(taker.positions) == told
        assert taker.in_order()


async def test_an_endpoint_or_a_mailbox_that_hangs_holds_up_nobody_else(store: Store, tmp_path: Path) -> None:
    sender = Many()
    post = post_with(store, tmp_path, sender, Clock())
    for name in ("slow", "well"):
        await make(post, url=f"https://{name}.example/")
    sender.hanging = {"https://slow.example/", '"mailbox_id":"stuck"'}
    async with dispatching(post):
        await tell(store, "stuck", "m1", version=1)
        await tell(store, "stuck", "m1", version=2)
        await until(lambda: sender.takers.get("https://well.example/", Taker()).positions == [2, 4], 60)
        await tell(store, "m1", "m2", version=3)
        await until(lambda: sorted(sender.takers["https://well.example/"].positions) == [2, 4, 5, 6], 60)
        assert set(sender.takers) == {"https://well.example/"}
        sender.hanging = set()
        sender.let_go.set()
        told = await positions(store)
        await until(lambda: all(sorted(taker.positions) == told for taker in sender.takers.values()), 60)
        await until(lambda: len(sender.takers) == 2, 60)
    assert all(taker.in_order() for taker in sender.takers.values())


async def test_a_webhook_that_is_never_through_makes_room_for_another(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "MOST", 1)
    monkeypatch.setattr(dispatch, "TURN", 1.0)
    sender, version = Many(), 0

    async def more(url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        nonlocal version
        if "busy" in url and version < 10_000:
            version += 1
            await tell(store, "m1", "m2", version=version)
        return await Many.send(sender, url, body, headers)

    monkeypatch.setattr(sender, "send", more)
    post = post_with(store, tmp_path, sender, Clock())
    for name in ("busy", "other"):
        await make(post, url=f"https://{name}.example/", after=0 if name == "busy" else 1)
    await tell(store, "m1", version=1)
    await tell(store, "m2", version=1)
    async with dispatching(post):
        await until(lambda: len(sender.takers) == 2, 60)
    assert version < 10_000


async def test_at_the_end_what_is_under_way_is_finished_and_the_lease_given_back(store: Store, tmp_path: Path) -> None:
    sender = Many()
    post = post_with(store, tmp_path, sender, Clock())
    await make(post)
    sender.hanging = {"m1"}
    async with dispatching(post):
        await tell(store, "m1", version=1)
        await until(lambda: sender.under_way == 1, 60)
        asyncio.get_running_loop().call_soon(sender.let_go.set)
    async with store.read() as connection:
        row = (await connection.execute(select(webhooks))).one()
    assert (row.lease_id, row.lease_until, row.position) == (None, None, 1)
    (taker,) = sender.takers.values()
    assert taker.positions == [1]


async def test_without_keys_nothing_is_delivered_until_they_are_there(store: Store, tmp_path: Path) -> None:
    lines = io.StringIO()
    logs.configure(stream=lines)
    sender = Many()
    post = post_with(store, tmp_path, sender, Clock())
    await make(post)
    await tell(store, "m1", version=1)
    (tmp_path / "webhook-keys").rename(tmp_path / "away")
    async with dispatching(msgspec.structs.replace(post, keys=Keys(tmp_path / "webhook-keys"))) as (bell,):
        await until(lambda: "webhooks.paused" in lines.getvalue(), 60)
        (tmp_path / "away").rename(tmp_path / "webhook-keys")
        bell.ring()
        await until(lambda: bool(sender.takers), 60)
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [each["reason"] for each in said if each["event"] == "webhooks.paused"] == ["keys_missing"]


async def test_a_secret_that_cannot_be_opened_pauses_its_webhook_alone(store: Store, tmp_path: Path) -> None:
    lines = io.StringIO()
    logs.configure(stream=lines)
    sender = Many()
    post = post_with(store, tmp_path, sender, Clock())
    await make(post, url="https://lost.example/")
    (tmp_path / "webhook-keys").unlink()
    load_vault(tmp_path / "webhook-keys", create=True)
    post = post_with(store, tmp_path, sender, Clock())
    await make(post, url="https://well.example/")
    await tell(store, "m1", version=1)
    async with dispatching(post):
        await until(lambda: bool(sender.takers) and "webhook.paused" in lines.getvalue(), 60)
    assert set(sender.takers) == {"https://well.example/"}
    async with store.read() as connection:
        rows = {row.url: row for row in await connection.execute(select(webhooks))}
    assert rows["https://lost.example/"].state == "enabled"
    (lost,) = await registry.of(store, webhook_id=rows["https://lost.example/"].webhook_id)
    assert (lost.waiting, lost.oldest) == (1, 1)
