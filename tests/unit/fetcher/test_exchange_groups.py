"""Groups of mailboxes are found in the store, and each is held by one replica at a time; on both databases."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from services.fetcher import exchange_groups
from services.fetcher.exchange_groups import LEASE, Group, Member, claim, members, promise_hints, release, wanted
from shared.connections import EWS, GRAPH
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.contracts.values import Bucket
from shared.store import Store, open_store
from shared.tables import mailboxes, orgs

NOW = 1_800_000_000
GROUP = Group("org1", 0)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    yield opened
    await opened.close()


async def _org(store: Store, org_id: str, count: int, **fields: Any) -> None:
    values = {
        "org_id": org_id,
        "generation": 1,
        "state": "connected",
        "kind": EWS,
        "connection": msgspec.json.encode(GraphConnection(tenant_id="t")),
        "tenant_id": "ews:mail.example.org",
        "policy": msgspec.json.encode(Policy()),
    }
    async with store.write() as connection:
        await connection.execute(orgs.insert().values(values | fields))
        for number in range(count):
            await connection.execute(mailboxes.insert().values(_mailbox(org_id, number)))


def _mailbox(org_id: str, number: int, **fields: Any) -> dict[str, Any]:
    named = {"org_id": org_id, "mailbox_id": f"m{number:03d}", "address": f"person{number}@example.org"}
    rest = {"kind": "user", "bucket": Bucket.ACTIVE.value, "generation": 1, "due_at": NOW + 5000}
    return named | rest | fields


async def test_an_organisation_has_a_group_for_each_two_hundred_mailboxes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_groups, "SIZE", 2)
    await _org(store, "org1", 5)
    assert await wanted(store) == [Group("org1", 0), Group("org1", 1), Group("org1", 2)]
    everybody = [member for number in range(3) for member in await members(store, Group("org1", number))]
    assert everybody == [Member(f"m{number:03d}", f"person{number}@example.org") for number in range(5)]


@pytest.mark.parametrize(
    "fields", [{"kind": GRAPH}, {"state": "attention"}, {"state": "disconnecting"}, {"generation": 2}]
)
async def test_who_is_not_read_through_exchange_at_present_has_no_group(store: Store, fields: dict[str, Any]) -> None:
    await _org(store, "org1", 2, **fields)
    assert await wanted(store) == []


async def test_mailboxes_that_are_not_read_are_in_no_group(store: Store) -> None:
    await _org(store, "org1", 2)
    async with store.write() as connection:
        await connection.execute(mailboxes.insert().values(_mailbox("org1", 7, bucket=Bucket.DENIED.value)))
    assert [member.mailbox_id for member in await members(store, GROUP)] == ["m000", "m001"]


async def test_a_group_is_one_replicas_until_its_lease_ends(store: Store) -> None:
    assert await claim(store, GROUP, "one", now=NOW)
    assert not await claim(store, GROUP, "other", now=NOW + LEASE - 1)
    assert await claim(store, GROUP, "one", now=NOW + LEASE - 1)  # kept
    assert not await claim(store, GROUP, "other", now=NOW + LEASE)
    assert await claim(store, GROUP, "other", now=NOW + 2 * LEASE)
    assert not await claim(store, GROUP, "one", now=NOW + 2 * LEASE)


async def test_a_group_that_is_let_go_is_free_and_only_its_holder_lets_it_go(store: Store) -> None:
    await claim(store, GROUP, "one", now=NOW)
    await release(store, GROUP, "other")
    assert not await claim(store, GROUP, "other", now=NOW)
    await release(store, GROUP, "one")
    assert await claim(store, GROUP, "other", now=NOW)


async def test_a_promise_lets_mailboxes_count_on_hints_and_taken_back_makes_them_due(store: Store) -> None:
    await _org(store, "org1", 3)
    await promise_hints(store, GROUP, ["m001", "m000"], until=NOW + 900, now=NOW)
    assert await _state(store) == [(NOW + 900, NOW + 5000), (NOW + 900, NOW + 5000), (None, NOW + 5000)]
    await promise_hints(store, GROUP, ["m001"], until=None, now=NOW)
    assert await _state(store) == [(NOW + 900, NOW + 5000), (None, NOW + 1), (None, NOW + 5000)]


async def _state(store: Store) -> list[tuple[int | None, int]]:
    query = select(mailboxes.c.subscribed_until, mailboxes.c.due_at).order_by(mailboxes.c.mailbox_id)
    async with store.read() as connection:
        return [(row.subscribed_until, row.due_at) for row in await connection.execute(query)]
