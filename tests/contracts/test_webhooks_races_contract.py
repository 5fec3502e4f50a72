"""What comes to pass while a webhook is served, on SQLite and PostgreSQL: written, forgotten, deleted meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.publisher import accounting, log
from services.publisher.relay import NAME
from services.publisher.retention import forget_old
from services.publisher.timelines import publish
from services.publisher.webhooks import registry, worker
from services.publisher.webhooks.asked import begun_at
from services.publisher.webhooks.delivery import Post
from services.publisher.webhooks.ledger import settle
from services.publisher.webhooks.retries import Attempt
from services.publisher.webhooks.signing import reseal
from services.publisher.webhooks.sweeping import sweep
from shared.contracts.values import DAY, Bucket
from shared.store import Store, open_store
from shared.tables import deliveries, relay, webhook_waits, webhooks
from shared.vault import load_vault
from tests.unit.publisher.hooks import (
    Clock,
    FakeSender,
    Taker,
    consumer,
    good,
    make,
    post_with,
    serve,
    standing,
    status,
)
from tests.unit.publisher.readings import MONDAY, busy, connect, snapshot, unreadable


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    await consumer(opened)
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender(Taker())


@pytest.fixture
def post(store: Store, tmp_path: Path, sender: FakeSender, clock: Clock) -> Post:
    return post_with(store, tmp_path, sender, clock)


class Meanwhile:
    """Lets requests that hang be answered while what became of the others is being written."""

    def __init__(self, answer: Attempt) -> None:
        self.answer = answer
        self.writing = asyncio.Event()
        self.answered = 0

    async def hang(self) -> Attempt:
        await self.writing.wait()
        self.answered += 1
        return self.answer

    async def settle(self, *given: Any, **more: Any) -> None:
        self.writing.set()
        while not self.answered:
            await asyncio.sleep(0)
        for _ in range(20):  # what follows from the answer
            await asyncio.sleep(0)
        await settle(*given, **more)


async def tell(store: Store, *mailboxes: str, version: int) -> None:
    found = [snapshot(busy(version, version + 1), mailbox_id=each, version=version) for each in mailboxes]
    await publish(store, found, now=MONDAY)


async def outcomes(store: Store) -> list[tuple[int, str]]:
    async with store.read() as connection:
        rows = (await connection.execute(select(deliveries).order_by(deliveries.c.delivery))).all()
    return [(row.position, row.outcome) for row in rows]


async def forget(store: Store) -> None:
    """Have retention delete what it may of all that was told."""
    async with store.write() as connection:
        new = store.upsert(relay).values(name=NAME, position=1_000_000)
        await connection.execute(new.on_conflict_do_nothing(index_elements=["name"]))
    await forget_old(store, before=MONDAY + DAY)


async def test_an_answer_that_comes_while_others_are_written_is_written_next(
    store: Store, post: Post, sender: FakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile = Meanwhile(status(410))
    sender.answers = lambda body, _: meanwhile.hang() if b'"mailbox_id":"m1"' in body else good()
    monkeypatch.setattr(worker, "settle", meanwhile.settle)
    webhook, _ = await make(post)
    await tell(store, "m1", "m2", version=1)
    await serve(post)
    after = await standing(store, webhook.webhook_id)
    assert (after.state, after.reason, sender.requests) == ("disabled", "gone", 2)
    assert await outcomes(store) == [(2, "delivered"), (1, "gone")]


async def test_an_endpoint_that_is_well_while_others_are_written_gets_all_that_waits(
    store: Store, post: Post, sender: FakeSender, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, _ = await make(post)
    sender.answers = lambda *_: status(500)
    await tell(store, *(f"m{number}" for number in range(6)), version=1)
    for _ in range(2):
        await serve(post)
        clock.passes(900)
    async with store.write() as connection:  # all but one are to be tried much later
        later = webhook_waits.update().where(webhook_waits.c.mailbox_id != "m3")
        await connection.execute(later.values(next_at=int(clock.now) + DAY))
    meanwhile = Meanwhile(good())
    sender.answers = lambda *_: meanwhile.hang()
    monkeypatch.setattr(worker, "settle", meanwhile.settle)
    await serve(post)
    after = await standing(store, webhook.webhook_id)
    assert (after.waiting, after.failures, len(sender.taker.positions)) == (0, 0, 6)


async def test_what_retention_deletes_under_a_delivery_is_not_passed_over_in_silence(
    store: Store, post: Post, sender: FakeSender
) -> None:
    webhook, _ = await make(post)
    for version in (1, 2, 3):
        await tell(store, "m1", version=version)

    async def overtaken(*_: object) -> Attempt:
        sender.answers = None
        await forget(store)
        return good()

    sender.answers = overtaken
    await serve(post)
    after = await standing(store, webhook.webhook_id)
    assert sender.taker.positions == [1]
    assert (after.state, after.reason) == ("disabled", "position_forgotten")


async def test_a_webhook_made_when_the_end_of_the_log_is_forgotten_is_told_what_follows(
    store: Store, post: Post, sender: FakeSender
) -> None:
    await tell(store, "m1", version=1)
    await publish(store, [unreadable(Bucket.REMOVED, mailbox_id="m1", version=2)], now=MONDAY)
    await forget(store)
    position = await begun_at(store, None)
    await log.check(store, position)
    webhook, _ = await make(post, after=position)
    await tell(store, "m2", version=1)
    await serve(post)
    assert (await standing(store, webhook.webhook_id)).state == "enabled"
    assert sender.taker.positions == [3]


async def test_nothing_stays_of_a_webhook_that_was_deleted_while_it_was_served(
    store: Store, post: Post, sender: FakeSender
) -> None:
    webhook, _ = await make(post)
    sender.answers = lambda *_: status(500)
    await tell(store, "m1", version=1)
    await serve(post)
    async with store.write() as connection:  # as where a round was being written as it went
        await connection.execute(webhooks.delete())
    await sweep(store, now=MONDAY)
    async with store.read() as connection:
        for table in (webhook_waits, deliveries):
            assert (await connection.execute(select(table))).all() == []
    assert await outcomes(store) == []
    assert webhook.webhook_id


async def test_a_secret_that_cannot_be_opened_keeps_no_other_under_the_old_key(
    store: Store, post: Post, tmp_path: Path
) -> None:
    broken, _ = await make(post)
    whole, _ = await make(post)
    async with store.write() as connection:
        await connection.execute(
            webhooks.update().where(webhooks.c.webhook_id == broken.webhook_id).values(secret=whole.secret)
        )
    load_vault(tmp_path / "webhook-keys", rotate=True)
    assert await reseal(store, post.keys) == 1
    assert post.keys.vault().is_newest((await standing(store, whole.webhook_id)).secret)
    assert await registry.of(store, webhook_id=broken.webhook_id)


async def test_every_attempt_is_counted_as_its_consumers(store: Store, post: Post, sender: FakeSender) -> None:
    answers = iter((status(500), Attempt(outcome="timeout")))
    sender.answers = lambda *_: next(answers, good())
    await make(post)
    await tell(store, "m1", "m2", "m3", version=1)
    await serve(post)
    await post.tally.write(store)
    rows = await accounting.counted(store, "booking", since=MONDAY)
    assert {(each.org_id, each.operation, each.status, count) for each, count in rows} == {
        ("acme", "webhook", 0, 1),
        ("acme", "webhook", 204, 1),
        ("acme", "webhook", 500, 1),
    }
