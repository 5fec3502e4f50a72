"""Webhooks are served alike on SQLite and PostgreSQL: in order of each mailbox, nothing lost, nobody hammered."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import delete, select, update

from services.publisher import consumers
from services.publisher.departure import depart
from services.publisher.timelines import publish
from services.publisher.webhooks import registry
from services.publisher.webhooks.asked import resumed_at
from services.publisher.webhooks.delivery import Post
from services.publisher.webhooks.lease import LEASE, claim, workable
from services.publisher.webhooks.retries import LONGEST, MANY, PAUSES, Attempt
from services.publisher.webhooks.signing import reseal
from services.publisher.webhooks.sweeping import sweep
from services.publisher.webhooks.worker import Worker
from shared.contracts.values import DAY, Bucket
from shared.errors import Reject
from shared.store import Store, open_store
from shared.tables import deliveries, relay, updates, webhook_waits, webhooks
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
from tests.unit.publisher.readings import MONDAY, busy, connect, event, snapshot, unreadable


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
def taker() -> Taker:
    return Taker()


@pytest.fixture
def sender(taker: Taker) -> FakeSender:
    return FakeSender(taker)


@pytest.fixture
def post(store: Store, tmp_path: Path, sender: FakeSender, clock: Clock) -> Post:
    return post_with(store, tmp_path, sender, clock)


async def tell(store: Store, *mailboxes: str, version: int, org_id: str = "acme") -> None:
    """Have one update told of each mailbox."""
    blocks = [busy(version, version + 1)]
    found = [snapshot(*blocks, mailbox_id=each, version=version, org_id=org_id) for each in mailboxes]
    await publish(store, found, now=MONDAY)


async def log(store: Store) -> list[int]:
    async with store.read() as connection:
        return list((await connection.execute(select(updates.c.position).order_by(updates.c.position))).scalars())


async def outcomes(store: Store) -> list[tuple[int, int, str]]:
    query = select(deliveries.c.position, deliveries.c.attempt, deliveries.c.outcome).order_by(deliveries.c.delivery)
    async with store.read() as connection:
        return [(row.position, row.attempt, row.outcome) for row in await connection.execute(query)]


async def waits(store: Store) -> dict[str, tuple[int, int, int]]:
    async with store.read() as connection:
        rows = (await connection.execute(select(webhook_waits))).all()
    return {row.mailbox_id: (row.position, row.attempts, row.next_at - MONDAY) for row in rows}


async def test_everything_told_is_delivered_once_in_order_and_signed(store: Store, post: Post, taker: Taker) -> None:
    webhook, taker.secret = await make(post)
    for version in range(1, 6):
        await tell(store, "m1", "m2", version=version)
    await serve(post)
    assert sorted(taker.positions) == await log(store)
    assert (taker.duplicates, taker.in_order()) == (0, True)
    after = await standing(store, webhook.webhook_id)
    assert (after.position, after.waiting, after.failures) == (taker.positions and max(taker.positions), 0, 0)
    assert {outcome for _, _, outcome in await outcomes(store)} == {"delivered"}


async def test_a_mailbox_whose_update_fails_waits_and_the_others_go_on(
    store: Store, post: Post, sender: FakeSender, clock: Clock
) -> None:
    sender.answers = lambda body, _: status(500) if b'"mailbox_id":"bad"' in body else good()
    webhook, _ = await make(post)
    for version in (1, 2, 3):
        await tell(store, "bad", "m1", version=version)
    await serve(post)
    assert sender.taker.by_mailbox == {("acme", "m1"): [2, 4, 6]}
    assert await waits(store) == {"bad": (1, 1, 5)}
    clock.passes(4)
    await serve(post)
    assert sender.requests == 4
    sender.answers = None
    clock.passes(1)
    await serve(post)
    assert sender.taker.by_mailbox[("acme", "bad")] == [1, 3, 5]
    assert (await standing(store, webhook.webhook_id)).waiting == 0
    assert (1, 2, "delivered") in await outcomes(store)


async def test_an_update_told_while_its_mailbox_waits_no_more_is_not_left_out(
    store: Store, post: Post, sender: FakeSender, clock: Clock
) -> None:
    await make(post)
    sender.answers = lambda *_: status(500)
    await tell(store, "m1", version=1)
    await serve(post)

    async def another_comes(*_: object) -> Attempt:
        sender.answers = None
        await tell(store, "m1", version=2)
        return good()

    sender.answers = another_comes
    clock.passes(5)
    await serve(post)
    assert sender.taker.positions == [1, 2]
    assert await waits(store) == {}


async def test_retries_grow_over_three_days_and_then_the_webhook_is_disabled(
    store: Store, post: Post, sender: FakeSender, clock: Clock
) -> None:
    sender.answers = lambda body, _: status(500) if b'"mailbox_id":"bad"' in body else good()
    webhook, _ = await make(post)
    await tell(store, "bad", version=1)
    for number, pause in enumerate((*PAUSES, 0)):
        await tell(store, "m1", version=number + 1)
        await serve(post)
        clock.passes(pause)
    after = await standing(store, webhook.webhook_id)
    assert (after.state, after.reason, clock.now) == ("disabled", "retries_exhausted", MONDAY + LONGEST)
    assert [attempt for position, attempt, _ in await outcomes(store) if position == 1] == list(range(1, 11))
    await tell(store, "bad", "m1", version=50)
    await serve(post)
    sender.answers = None
    await registry.enable(store, webhook.webhook_id, position=await resumed_at(store, after), now=int(clock.now))
    await serve(post)
    assert set(sender.taker.positions) == set(await log(store))
    assert sender.taker.in_order()


async def test_an_endpoint_that_fails_whatever_it_gets_is_probed_with_growing_pauses(
    store: Store, post: Post, sender: FakeSender, clock: Clock
) -> None:
    sender.answers = lambda *_: status(500)
    webhook, _ = await make(post)
    await tell(store, *(f"m{number}" for number in range(16)), version=1)
    await serve(post)
    begun = sender.requests
    assert begun <= MANY + post.requests - 1
    for _ in range(8):
        clock.passes(900)
        await serve(post)
    assert sender.requests - begun <= 8
    sender.answers = None
    clock.passes(1000)
    await serve(post)
    assert (await standing(store, webhook.webhook_id)).waiting == 0
    assert sorted(sender.taker.positions) == await log(store)


async def test_an_endpoint_that_fails_for_more_than_three_days_is_disabled(
    store: Store, post: Post, sender: FakeSender, clock: Clock
) -> None:
    sender.answers = lambda *_: status(503)
    webhook, _ = await make(post)
    await tell(store, "m1", version=1)
    while (now_standing := await standing(store, webhook.webhook_id)).state == "enabled":
        await serve(post)
        clock.passes(9 * 3600)
        assert clock.now < MONDAY + 2 * LONGEST
    assert now_standing.reason in {"failing", "retries_exhausted"}


async def test_retry_after_is_honoured_for_the_whole_endpoint(
    store: Store, post: Post, sender: FakeSender, clock: Clock
) -> None:
    sender.answers = lambda *_: status(429, 120)
    webhook, _ = await make(post)
    await tell(store, "m1", version=1)
    await serve(post)
    sender.answers = None
    await tell(store, "m2", version=1)
    clock.passes(119)
    await serve(post)
    assert (sender.requests, sender.taker.positions) == (1, [])
    clock.passes(1)
    await serve(post)
    assert sorted(sender.taker.positions) == [1, 2]
    assert (await standing(store, webhook.webhook_id)).next_try_at is None


async def test_gone_disables_at_once_with_what_was_not_delivered_kept(
    store: Store, post: Post, sender: FakeSender
) -> None:
    sender.answers = lambda *_: status(410)
    webhook, _ = await make(post)
    await tell(store, "m1", version=1)
    await tell(store, "m1", version=2)
    await serve(post)
    after = await standing(store, webhook.webhook_id)
    assert (after.state, after.reason, sender.requests) == ("disabled", "gone", 1)
    sender.answers = None
    await registry.enable(store, webhook.webhook_id, now=MONDAY)
    await serve(post)
    assert sender.taker.positions == [1, 2]


async def test_what_a_stricter_policy_forbids_is_not_sent_however_long_it_waited(
    store: Store, post: Post, sender: FakeSender, clock: Clock
) -> None:
    await make(post)
    sender.answers = lambda *_: status(500)
    await publish(store, [snapshot(busy(9, 10), events=(event(9, 10, "secret plan"),))], now=MONDAY)
    await serve(post)
    await connect(store, generation=2)  # as the authorizer does, without deleting what the log holds
    sender.answers = None
    clock.passes(10)
    await serve(post)
    assert sender.taker.bodies == []
    await publish(store, [snapshot(busy(9, 10), version=2, generation=2)], now=MONDAY)
    await serve(post)
    assert len(sender.taker.bodies) == 1
    assert b"secret plan" not in sender.taker.bodies[0]


async def test_an_org_outside_the_scope_is_not_told_even_if_it_was_when_the_webhook_was_made(
    store: Store, post: Post, taker: Taker
) -> None:
    await connect(store, "beta")
    await consumer(store, "other", ("acme", "beta"))
    await make(post, name="other", orgs=("beta",))
    await make(post, orgs=("*",))
    await tell(store, "theirs", version=1, org_id="beta")
    await tell(store, "ours", version=1)
    await serve(post)
    assert set(taker.by_mailbox) == {("beta", "theirs"), ("acme", "ours")}
    await consumers.rescope(store, "other", ["acme"])
    await tell(store, "theirs", version=2, org_id="beta")
    await serve(post)
    assert taker.by_mailbox[("beta", "theirs")] == [1]


async def test_the_webhooks_of_a_consumer_that_is_removed_go_with_it(
    store: Store, post: Post, sender: FakeSender
) -> None:
    webhook, _ = await make(post)
    await tell(store, "m1", version=1)
    await consumers.remove(store, "booking")
    await consumers.add(store, "booking", ["acme"], now=MONDAY + 5)
    await serve(post)
    await sweep(store, now=MONDAY)
    assert sender.requests == 0
    assert await registry.of(store, webhook_id=webhook.webhook_id) == []


async def test_a_namesake_of_a_consumer_added_later_has_none_of_its_webhooks(
    store: Store, post: Post, sender: FakeSender
) -> None:
    await make(post)
    await tell(store, "m1", version=1)
    async with store.write() as connection:  # as if the row alone had gone
        await connection.execute(delete(consumers.consumers))
    await consumers.add(store, "booking", ["acme"], now=MONDAY + 5)
    await serve(post)
    await sweep(store, now=MONDAY)
    assert sender.requests == 0
    async with store.read() as connection:
        assert (await connection.execute(select(webhooks))).all() == []


async def test_the_word_that_an_org_left_comes_last_and_what_follows_it_after(
    store: Store, post: Post, sender: FakeSender, clock: Clock
) -> None:
    webhook, _ = await make(post, orgs=("acme",))
    sender.answers = lambda *_: status(500)
    await tell(store, "m1", "m2", version=1)
    await serve(post)
    await connect(store, state="disconnecting", generation=2)
    await depart(store, "acme", 2, now=MONDAY)
    assert await waits(store) == {}
    await serve(post)
    await sweep(store, now=MONDAY)
    assert (await standing(store, webhook.webhook_id)).orgs == ("acme",)
    clock.passes(6)
    await serve(post)
    await consumers.rescope(store, "booking", ["acme"])
    await connect(store, generation=3)
    await publish(store, [snapshot(mailbox_id="m1", version=1, generation=3)], now=MONDAY)
    await serve(post)
    sender.answers = None
    clock.passes(3600)
    await serve(post)
    assert list(sender.taker.by_mailbox) == [("acme", ""), ("acme", "m1")]
    after = await standing(store, webhook.webhook_id)
    assert (after.waiting, after.state) == (0, "enabled")


async def test_an_org_that_left_is_named_no_longer_once_that_is_delivered(
    store: Store, post: Post, taker: Taker
) -> None:
    webhook, _ = await make(post, orgs=("acme",))
    await connect(store, state="disconnecting", generation=2)
    await depart(store, "acme", 2, now=MONDAY)
    await sweep(store, now=MONDAY)
    assert (await standing(store, webhook.webhook_id)).orgs == ("acme",)
    await serve(post)
    await sweep(store, now=MONDAY)
    assert (await standing(store, webhook.webhook_id)).orgs == ()
    assert list(taker.by_mailbox) == [("acme", "")]


async def test_what_retention_forgot_before_it_was_delivered_disables(
    store: Store, post: Post, sender: FakeSender
) -> None:
    webhook, _ = await make(post)
    await tell(store, "m1", version=1)
    await tell(store, "m1", version=2)
    async with store.write() as connection:
        await connection.execute(relay.insert().values(name="forgotten", position=1))
    await serve(post)
    after = await standing(store, webhook.webhook_id)
    assert (after.state, after.reason, sender.requests) == ("disabled", "position_forgotten", 0)
    assert await resumed_at(store, after) == 2


async def test_two_replicas_never_serve_one_webhook_at_a_time(store: Store, post: Post, clock: Clock) -> None:
    webhook, _ = await make(post)
    await tell(store, "m1", version=1)
    now = int(clock.now)
    taken = await asyncio.gather(*(claim(store, webhook.webhook_id, f"r{n}", now=now) for n in range(4)))
    assert sum(taken) == 1
    assert await workable(store, now=now, limit=10) == []
    assert await workable(store, now=now + LEASE + 1, limit=10) == [webhook.webhook_id]


async def test_whoever_lost_its_lease_writes_nothing(
    store: Store, post: Post, sender: FakeSender, clock: Clock
) -> None:
    webhook, _ = await make(post)
    await tell(store, "m1", version=1)

    async def overtaken(*_: object) -> Attempt:
        await registry.replay(store, webhook.webhook_id, after=0)
        return good()

    sender.answers = overtaken
    assert await claim(store, webhook.webhook_id, "mine", now=int(clock.now))
    await Worker(post, webhook.webhook_id, "mine", asyncio.Event()).serve()
    assert (await standing(store, webhook.webhook_id)).position == 0
    assert await outcomes(store) == []
    sender.answers = None
    await serve(post)
    assert sender.taker.positions == [1, 1]


async def test_a_worker_that_dies_at_any_moment_loses_nothing(
    store: Store, post: Post, sender: FakeSender, clock: Clock
) -> None:
    await make(post)
    for version in range(1, 5):
        await tell(store, *(f"m{number}" for number in range(10)), version=version)
    died = 0
    for fatal in (1, 5, 17, 30):
        sender.requests = 0
        sender.answers = lambda *_, fatal=fatal: asyncio.sleep(0 if sender.requests < fatal else 60, good())
        (webhook_id,) = await workable(store, now=int(clock.now), limit=10)
        await claim(store, webhook_id, f"dies-{fatal}", now=int(clock.now))
        serving = asyncio.create_task(Worker(post, webhook_id, f"dies-{fatal}", asyncio.Event()).serve())
        while sender.requests < fatal:
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        died += 1
        clock.passes(LEASE + 1)
    sender.answers = None
    await serve(post)
    assert set(sender.taker.positions) == set(await log(store))
    assert sender.taker.in_order()
    assert sender.taker.duplicates <= died * 32


async def test_replay_delivers_again_what_lies_after_a_position(store: Store, post: Post, taker: Taker) -> None:
    webhook, _ = await make(post)
    for version in (1, 2, 3):
        await tell(store, "m1", version=version)
    await serve(post)
    await registry.replay(store, webhook.webhook_id, after=1)
    await serve(post)
    assert taker.positions == [1, 2, 3, 2, 3]


async def test_a_mailbox_that_left_is_told_of_as_on_every_surface(store: Store, post: Post, taker: Taker) -> None:
    await make(post)
    await tell(store, "m1", version=1)
    await publish(store, [unreadable(Bucket.REMOVED, mailbox_id="m1", version=2)], now=MONDAY)
    await serve(post)
    assert b'"type":"mailbox.removed.v1"' in taker.bodies[-1]
    assert taker.copies[("acme", "m1")].removed


async def test_secrets_survive_a_rotation_of_the_keys(store: Store, post: Post, tmp_path: Path, taker: Taker) -> None:
    _, taker.secret = await make(post)
    load_vault(tmp_path / "webhook-keys", rotate=True)
    assert [await reseal(store, post.keys) for _ in range(2)] == [1, 0]
    keys = (tmp_path / "webhook-keys").read_text().splitlines()
    (tmp_path / "webhook-keys").write_text(keys[0] + "\n")
    await tell(store, "m1", version=1)
    await serve(msgspec.structs.replace(post, keys=type(post.keys)(tmp_path / "webhook-keys")))
    assert taker.positions == [1]


async def test_of_deliveries_a_thousand_are_kept_for_thirty_days(store: Store, post: Post) -> None:
    webhook, _ = await make(post)
    row = {"webhook_id": webhook.webhook_id, "position": 1, "attempt": 1, "outcome": "delivered", "duration_ms": 1}
    async with store.write() as connection:
        await connection.execute(deliveries.insert(), [{**row, "at": MONDAY + n} for n in range(1005)])
        await connection.execute(update(deliveries).where(deliveries.c.at > MONDAY + 1002).values(at=MONDAY - 31 * DAY))
    await sweep(store, now=MONDAY)
    async with store.read() as connection:
        kept = list((await connection.execute(select(deliveries.c.at).order_by(deliveries.c.delivery))).scalars())
    assert (len(kept), kept[0]) == (1000, MONDAY + 3)


async def test_nobody_makes_a_webhook_for_whoever_bears_a_removed_consumers_name(post: Post) -> None:
    made = await consumers.named(post.store, "booking")
    assert made is not None
    await consumers.remove(post.store, "booking")
    await consumers.add(post.store, "booking", ["beta"], now=made.created_at + 5)
    fresh = registry.Fresh(
        webhook_id=registry.new_id(),
        consumer="booking",
        url="https://old.example/",
        orgs=("*",),
        secret=b"",
        position=0,
    )
    with pytest.raises(Reject, match="owner_gone"):
        await registry.make(post.store, fresh, owner_since=made.created_at, now=MONDAY)
    assert await registry.of(post.store) == []
