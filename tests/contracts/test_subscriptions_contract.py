"""What is kept of subscriptions behaves alike on SQLite and PostgreSQL, with several replicas at work."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import insert, update

from services.fetcher import due, plans, purging, subscriptions, wanting
from services.fetcher.context import Context
from services.fetcher.due import Claim, Lease
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.pacing import ENOUGH
from services.fetcher.plans import Answer, Row, Step
from services.fetcher.settings import Settings
from services.fetcher.subscribing import Keeper
from services.fetcher.subscriptions import LEASE, Change
from shared import logs
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.store import Store, open_store
from shared.tables import orgs
from shared.vault import Vault, load_vault
from tests.unit.fetcher.collecting import (
    Collecting,
    change_mailbox,
    mailbox_rows,
    put_mailbox,
    put_subscription,
    subscription_rows,
)

NOW = 1_790_000_000
ENDS = NOW + plans.LIFETIME


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    yield opened
    await opened.close()


async def connect(store: Store, org_id: str = "org1", **fields: Any) -> None:
    row = {
        "org_id": org_id,
        "generation": 1,
        "state": "connected",
        "connection": msgspec.json.encode(GraphConnection(tenant_id="t")),
        "tenant_id": org_id,
        "policy": msgspec.json.encode(Policy()),
    }
    async with store.write() as connection:
        await connection.execute(insert(orgs).values(row | fields))


async def change_org(store: Store, **fields: Any) -> None:
    async with store.write() as connection:
        await connection.execute(update(orgs).values(fields))


async def people(store: Store, count: int, org_id: str = "org1", **fields: Any) -> None:
    for number in range(count):
        await put_mailbox(store, f"{org_id}-{number:04}", org_id=org_id, **fields)


def made(row: Row, subscription_id: str) -> Change:
    answer = Answer(status=201, subscription_id=subscription_id, expires_at=ENDS)
    return Change(before=row, after=plans.outcome(row, Step.CREATE, answer, NOW))


async def test_exactly_the_mailboxes_that_are_read_are_wanted(store: Store) -> None:
    await connect(store)
    await connect(store, "org2", state="attention")
    await connect(store, "org3", generation=2)
    await people(store, 3)
    await people(store, 1, "org2")
    await people(store, 1, "org3")  # not seen under the new generation yet
    await put_mailbox(store, "guest", bucket="guest")
    assert await wanting.want(store, NOW, limit=2) == 2
    assert await wanting.want(store, NOW, limit=2) == 1
    assert await wanting.want(store, NOW, limit=2) == 0
    rows = await subscription_rows(store)
    assert sorted(rows) == ["org1-0000", "org1-0001", "org1-0002"]
    assert all((row.wanted, row.act_at, row.subscription_id) == (True, NOW, None) for row in rows.values())
    assert await wanting.revise(store, NOW) == 0


@pytest.mark.parametrize("ahead", [-300, 300])
async def test_what_one_replica_has_in_hand_another_leaves_alone_though_their_clocks_differ(
    store: Store, ahead: int
) -> None:
    await connect(store)
    await put_subscription(store, "m1", act_at=NOW - 600)
    assert len(await subscriptions.claim(store, "org1", NOW, limit=5)) == 1
    assert await subscriptions.claim(store, "org1", NOW + ahead, limit=5) == []
    assert len(await subscriptions.claim(store, "org1", NOW + LEASE, limit=5)) == 1


class Shares(Keeper):
    """A keeper that only notes who gets how large a share."""

    def __init__(self, context: Context, vault: Vault) -> None:
        super().__init__(context, Collecting(), vault)  # type: ignore[arg-type]
        self.shares: dict[str, int] = {}

    async def _kept(self, org_id: str, share: int) -> None:
        self.shares[org_id] = share


async def test_orgs_of_which_nothing_may_be_made_now_take_no_share_from_others(store: Store, tmp_path: Path) -> None:
    nobody: Any = None
    context = Context(
        store=store, mailboxes=Mailboxes(store), tenants=nobody, settings=Settings(), log=logs.get("fetcher")
    )
    keeper = Shares(context, load_vault(tmp_path / "keys", create=True))
    for org_id in (*(f"braked{number:02}" for number in range(30)), "braked-made", "well"):
        await connect(store, org_id)
        await put_subscription(store, f"of-{org_id}", org_id=org_id)
        refused = Answer(status=403)
        row = Row(org_id=org_id, mailbox_id="m", act_at=NOW)
        if org_id != "well":
            keeper._brakes.learn(org_id, [(row, Step.CREATE, refused)] * ENOUGH, NOW)
    await put_subscription(store, "made", org_id="braked-made", subscription_id="s1", expires_at=ENDS)
    await keeper._work(NOW)
    await keeper.idle()
    assert keeper.shares == {"braked-made": 10, "well": 10}


async def test_a_large_org_keeps_no_small_one_from_its_first_subscriptions(store: Store) -> None:
    for org_id, count in (("org1", 30), ("org2", 2), ("org3", 30)):
        await connect(store, org_id)
        await people(store, count, org_id)
    assert await wanting.want(store, NOW, limit=6) == 6
    rows = await subscription_rows(store)
    assert Counter(row.org_id for row in rows.values()) == {"org1": 2, "org2": 2, "org3": 2}


async def test_what_is_not_read_any_more_is_not_wanted_and_wanted_again_once_it_is(store: Store) -> None:
    await connect(store)
    for name in ("m1", "m2"):
        await put_mailbox(store, name, subscribed_until=ENDS, due_at=ENDS)
        await put_subscription(store, name, subscription_id=f"s-{name}", expires_at=ENDS, act_at=ENDS)
    await change_mailbox(store, "m1", bucket="excluded", due_at=None)
    assert await wanting.revise(store, NOW) == 1
    row = (await subscription_rows(store))["m1"]
    assert (row.wanted, row.act_at, row.subscription_id) == (False, NOW, "s-m1")
    gone = (await mailbox_rows(store))["m1"]
    assert (gone.subscribed_until, gone.due_at) == (None, None)
    await change_mailbox(store, "m1", bucket="active", due_at=ENDS)
    assert await wanting.revise(store, NOW) == 1
    [again] = [each for each in await subscriptions.of_org(store, "org1") if each.mailbox_id == "m1"]
    assert again.wanted
    assert plans.plan(again, NOW) is Step.ANNOUNCE, "it may have changed while its notifications were not believed"
    assert (await mailbox_rows(store))["m1"].subscribed_until == ENDS
    assert await wanting.revise(store, NOW) == 0


async def test_an_org_that_needs_attention_keeps_what_it_has_and_one_that_leaves_does_not(store: Store) -> None:
    await connect(store)
    await put_mailbox(store, "m1")
    await put_subscription(store, "m1", subscription_id="s1", expires_at=ENDS)
    await change_org(store, state="attention")
    assert await wanting.revise(store, NOW) == 0
    assert await subscriptions.due_orgs(store, NOW) == {}
    await change_org(store, state="disconnecting")
    assert await wanting.revise(store, NOW) == 1
    assert await subscriptions.due_orgs(store, NOW) == {}


async def test_with_nowhere_to_send_hints_polling_takes_over(store: Store) -> None:
    await connect(store)
    await put_mailbox(store, "m1", subscribed_until=ENDS, due_at=ENDS)
    await put_subscription(store, "m1", subscription_id="s1", expires_at=ENDS, act_at=ENDS)
    assert await wanting.revise(store, NOW, nowhere=True) == 1
    assert await wanting.revise(store, NOW, nowhere=True) == 0
    row = (await mailbox_rows(store))["m1"]
    assert (row.subscribed_until, row.due_at) == (None, NOW)


async def test_replicas_never_claim_the_same_row(store: Store, store_url: str) -> None:
    await connect(store)
    await people(store, 100)
    await wanting.want(store, NOW, limit=1000)
    other = open_store(store_url)
    try:
        claims = [subscriptions.claim(each, "org1", NOW, limit=10) for each in (store, other) * 10]
        taken = [row.mailbox_id for rows in await asyncio.gather(*claims) for row in rows]
    finally:
        await other.close()
    assert len(taken) == len(set(taken))
    rest = await subscriptions.claim(store, "org1", NOW, limit=1000)
    assert len(taken) + len(rest) == 100
    assert await subscriptions.claim(store, "org1", NOW + LEASE - 1, limit=1000) == []
    assert len(await subscriptions.claim(store, "org1", NOW + LEASE, limit=1000)) == 100


async def test_under_a_brake_only_what_stands_is_claimed(store: Store) -> None:
    await connect(store)
    await put_subscription(store, "m1")
    await put_subscription(store, "m2", subscription_id="s2", expires_at=ENDS)
    assert [row.mailbox_id for row in await subscriptions.claim(store, "org1", NOW, limit=9, making=False)] == ["m2"]


async def test_what_is_made_is_remembered_with_what_the_mailbox_may_count_on(store: Store) -> None:
    await connect(store)
    await people(store, 2, due_at=NOW + 100)
    await wanting.want(store, NOW, limit=10)
    rows = await subscriptions.claim(store, "org1", NOW, limit=10)
    kept = await subscriptions.write(store, [made(row, f"s-{row.mailbox_id}") for row in rows], NOW)
    assert [row and row.subscription_id for row in kept] == [f"s-{row.mailbox_id}" for row in rows]
    for row in (await mailbox_rows(store)).values():
        assert (row.subscribed_until, row.due_at) == (ENDS, NOW + 100)
    found = await subscriptions.lookup(store, ["s-org1-0001", "s-none"])
    assert {name: target.row.mailbox_id for name, target in found.items()} == {"s-org1-0001": "org1-0001"}
    assert await subscriptions.once_read(store, rows) == set()
    await change_mailbox(store, "org1-0001", version=1)
    assert await subscriptions.once_read(store, rows) == {("org1", "org1-0001")}


async def test_what_lapses_is_due_at_once_if_it_is_read(store: Store) -> None:
    await connect(store)
    await put_mailbox(store, "m1", subscribed_until=ENDS, due_at=ENDS)
    await put_mailbox(store, "m2", subscribed_until=ENDS, due_at=ENDS, bucket="failing")
    await put_mailbox(store, "m3", subscribed_until=ENDS, due_at=None)
    for name in ("m1", "m2", "m3"):
        await put_subscription(store, name, subscription_id=f"s-{name}", expires_at=ENDS, act_at=0)
    rows = await subscriptions.claim(store, "org1", NOW, limit=10)
    gone = [Change(before=row, after=plans.outcome(row, Step.RENEW, Answer(status=404), NOW)) for row in rows]
    await subscriptions.write(store, gone, NOW)
    found = await mailbox_rows(store)
    assert {name: row.due_at for name, row in found.items()} == {"m1": NOW, "m2": ENDS, "m3": None}
    assert {row.subscribed_until for row in found.values()} == {None}


async def test_a_row_purged_meanwhile_does_not_come_back(store: Store) -> None:
    row = Row(org_id="org1", mailbox_id="m1", act_at=NOW)
    assert await subscriptions.write(store, [made(row, "s1")], NOW) == [None]
    assert await subscription_rows(store) == {}


async def test_what_is_deleted_while_it_is_wanted_again_is_made_anew(store: Store) -> None:
    await connect(store)
    await put_subscription(store, "m1", subscription_id="s1", expires_at=ENDS, wanted=True)
    (row,) = await subscriptions.claim(store, "org1", NOW, limit=1)
    before = replace(row, wanted=False)
    (kept,) = await subscriptions.write(store, [Change(before=before, after=None)], NOW)
    assert kept is not None
    assert (kept.subscription_id, kept.act_at) == (None, NOW)


async def test_readings_and_subscriptions_write_the_same_mailboxes_without_waiting_in_a_circle(
    store: Store, store_url: str
) -> None:
    await connect(store)
    await people(store, 40, due_at=NOW)
    await wanting.want(store, NOW, limit=100)
    rows = await subscriptions.claim(store, "org1", NOW, limit=100)
    other = open_store(store_url)
    table = Mailboxes(other)
    wish = Claim(lease=Lease(generation=1, message_id="m"), since=NOW, now=NOW, seconds=600)
    try:
        backwards = list(reversed(rows))
        await asyncio.gather(
            *(subscriptions.write(store, [made(row, f"s-{row.mailbox_id}") for row in part], NOW)
              for part in (rows[:25], backwards[:25], rows[10:30])),
            *(table.change("org1", row.mailbox_id, lambda found: due.leave(found, wish)) for row in backwards),
            wanting.revise(other, NOW, nowhere=True),
            wanting.revise(store, NOW, nowhere=True),
        )  # fmt: skip
    finally:
        await other.close()
    assert {row.version for row in (await mailbox_rows(store)).values()} == {1}


async def test_rows_of_orgs_that_are_not_there_are_dropped(store: Store) -> None:
    await connect(store)
    await people(store, 1)
    await people(store, 2, "gone")
    await put_subscription(store, "m9", org_id="gone2")
    while await purging.drop_orphans(store):
        pass
    assert sorted(await mailbox_rows(store)) == ["org1-0000"]
    assert await subscription_rows(store) == {}
