"""An org leaves, on both databases: each step repeated, interrupted, and the way back."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from services.authorizer import audit, due, leaving, orgs, requests, verdicts
from services.authorizer.purging import SERVICES, Ask, Close, Purge, Wait
from shared.connections import connected, generations, policy_of
from shared.contracts.messages import GraphConnection, OrgPurged
from shared.contracts.policy import Policy, Scope
from shared.errors import Retry
from shared.identity import GraphCredential
from shared.store import Store, open_store
from shared.tables import credentials, policies
from shared.tables import orgs as table
from shared.vault import Vault
from tests.unit.authorizer.acting import (
    NOW,
    ONE,
    OPEN,
    OTHER,
    STRICT,
    accepted,
    acts,
    all_answer,
    connect,
    count,
    emptied,
    fill,
    purge_rows,
    refused,
    said,
    state,
)
from tests.unit.authorizer.authorizer_fakes import times

VAULT = Vault({"k1": b"1" * 32})
LATER = NOW + 100
COMPACT = Store.compact
HIDDEN = Policy(scope=Scope(exclude=("canary@x.example",)))


@pytest.fixture(autouse=True)
def compacting(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Note what there was when the database was cleaned up."""
    seen: list[list[int]] = []

    async def compact(store: Store) -> bool:
        seen.append([await count(store, each) for each in (table, policies)])
        return True

    monkeypatch.setattr(Store, "compact", compact)
    return seen


async def put(store: Store, name: str) -> None:
    await orgs.put_credential(store, VAULT, name, GraphCredential(client_id="app", client_secret=name), now=NOW)


async def left(store: Store, *, at: int = LATER) -> str:
    """Have the org disconnected."""
    purge_id = await leaving.begin(store, "acme", word=said(at))
    assert purge_id is not None
    return purge_id


async def one(store: Store) -> Purge:
    (purge,) = await leaving.under_way(store)
    return purge


async def gone(store: Store, *, at: int = LATER) -> str:
    """Have the org disconnected, emptied and closed; return the receipt's hash."""
    await all_answer(store, await left(store, at=at))
    await emptied(store, word=False)
    return await leaving.close(store, await one(store), now=at + 5)


async def test_from_the_first_step_on_the_org_is_unknown_to_everybody(both: Store) -> None:
    await connect(both)
    await left(both)
    found = await state(both)
    assert (found.state, found.generation, found.pending, found.reason) == ("disconnecting", 2, False, None)
    async with both.read() as reading:
        assert await generations(reading, ["acme"]) == {}
    assert await verdicts.claim(both, now=NOW + 10**8, limit=9) == ()
    await due.everything(both, now=NOW)
    assert await due.claim(both, now=NOW + 10**8) == ()
    assert await verdicts.claim(both, now=NOW + 10**8, limit=9) == ()


async def test_a_verification_under_way_does_not_bring_it_back(both: Store) -> None:
    await connect(both)
    await requests.connect(both, "acme", connection=OTHER, policy=OPEN, word=said())
    (claimed,) = await verdicts.claim(both, now=NOW, limit=1)
    await left(both)
    assert await verdicts.accept(both, claimed, tenant_id="guid-2", times=times(LATER)) == "superseded"
    assert await verdicts.refuse(both, claimed, reason="secret_wrong", times=times(LATER)) == "superseded"
    assert (await state(both)).state == "disconnecting"
    await due.everything(both, now=LATER)
    assert await verdicts.claim(both, now=NOW + 10**8, limit=9) == ()


async def test_what_there_was_is_counted_at_the_start(both: Store) -> None:
    await connect(both)
    await fill(both, count=3)
    await fill(both, "another")
    await left(both)
    purge = await one(both)
    assert purge.counts == {"mailboxes": 3, "subscriptions": 3, "timelines": 3, "updates": 6}
    assert (purge.org_id, purge.generation, purge.actor, purge.started_at) == ("acme", 2, "platform", LATER)


async def test_leaving_twice_is_leaving_once(both: Store) -> None:
    await connect(both)
    assert await left(both) == await left(both, at=LATER + 1)
    assert await purge_rows(both) == 1
    assert (await acts(both)).count(("platform", "org.disconnected")) == 1
    assert (await state(both)).generation == 2


async def test_an_org_nobody_knows_leaves_nothing(both: Store) -> None:
    assert await orgs.disconnect(both, "acme", actor="operator", now=NOW) is None
    assert await purge_rows(both) == 0
    assert await audit.chains(both) == ()


@pytest.mark.parametrize("before", ["requested", "refused", "attention"])
async def test_an_org_leaves_whatever_its_state(both: Store, before: str) -> None:
    if before == "attention":
        await connect(both)
        await requests.doubt(both, "acme", generation=1, now=NOW + 1)
    else:
        await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said())
    if before != "requested":
        await refused(both, now=NOW + 1)
    assert (await state(both)).state == before
    await gone(both)
    assert await orgs.org(both, "acme") is None
    assert await orgs.receipt(both, "acme") is not None


async def test_services_are_asked_by_one_authorizer_and_again_until_they_answer(store_url: str) -> None:
    stores = open_store(store_url), open_store(store_url)
    await connect(stores[0])
    await left(stores[0])
    seen = await one(stores[0])
    assert await leaving.next_step(stores[0], seen, now=LATER) == Ask(SERVICES)
    taken = await asyncio.gather(*(leaving.claim(store, seen, now=LATER) for store in stores))
    assert sorted(taken) == [False, True]
    assert await leaving.next_step(stores[0], await one(stores[0]), now=LATER + 14) == Wait()
    assert await leaving.next_step(stores[0], await one(stores[0]), now=LATER + 15) == Ask(SERVICES)
    for store in stores:
        await store.close()


async def test_it_is_closed_only_once_the_database_holds_nothing_more(both: Store) -> None:
    await connect(both)
    await fill(both)
    await all_answer(both, await left(both))
    assert await leaving.next_step(both, await one(both), now=LATER) == Ask(("publisher", "fetcher"))
    await emptied(both)
    assert await leaving.next_step(both, await one(both), now=LATER) == Close()


async def test_the_fetcher_is_asked_once_more_without_delay_after_a_service_that_was_late(both: Store) -> None:
    await connect(both)
    purge_id = await left(both)
    assert await leaving.claim(both, await one(both), now=LATER)
    for service in ("fetcher", "normalizer", "publisher"):
        assert await leaving.answer(both, OrgPurged(org_id="acme", purge_id=purge_id, service=service))
    assert await leaving.next_step(both, await one(both), now=LATER) == Ask(("fetcher",))
    assert await leaving.claim(both, await one(both), now=LATER)
    assert await leaving.next_step(both, await one(both), now=LATER + 1) == Wait()
    assert await leaving.answer(both, OrgPurged(org_id="acme", purge_id=purge_id, service="fetcher"))
    assert await leaving.next_step(both, await one(both), now=LATER + 1) == Close()


async def test_an_answer_given_twice_or_too_late_counts_once(both: Store) -> None:
    await connect(both)
    purge_id = await left(both)
    await all_answer(both, purge_id, messages=2)
    await all_answer(both, purge_id, messages=1)
    purge = await one(both)
    assert purge.counts["fetcher.messages"] == 2
    await leaving.close(both, purge, now=LATER)
    late = OrgPurged(org_id="acme", purge_id=purge_id, service="fetcher", counts={"messages": 99})
    assert not await leaving.answer(both, late)
    found = await orgs.receipt(both, "acme")
    assert found is not None
    assert found.counts["messages"] == 6


async def test_an_answer_to_another_disconnection_counts_for_nothing(both: Store) -> None:
    await connect(both)
    purge_id = await left(both)
    for org_id, name in (("another", purge_id), ("acme", "f" * 32)):
        assert not await leaving.answer(both, OrgPurged(org_id=org_id, purge_id=name, service="fetcher"))
    assert (await one(both)).done == ()


async def test_a_receipt_says_what_went_and_its_hash_is_in_the_audit_log(both: Store) -> None:
    await put(both, ONE.credential)
    await connect(both)
    await requests.change_policy(both, "acme", STRICT, word=said())
    await fill(both)
    purge_id = await left(both)
    await all_answer(both, purge_id, messages=2, subscriptions_deleted=1)
    await emptied(both)
    sealed = await leaving.close(both, await one(both), now=LATER + 7)
    found = await orgs.receipt(both, "acme")
    assert found is not None
    assert found.counts == {
        "mailboxes": 2, "subscriptions": 2, "timelines": 2, "updates": 4, "messages": 6, "subscriptions_deleted": 3,
        "credentials": 1, "policies": 2, "compacted": 1,
    }  # fmt: skip
    assert (found.purge_id, found.generation, found.actor) == (purge_id, 3, "platform")
    assert (found.started_at, found.ended_at, found.audit_hash) == (LATER, LATER + 7, sealed)
    entries = await audit.entries(both, "acme")
    assert audit.verify(entries, known=[sealed]) is None
    assert (entries[-1].action, entries[-1].details) == ("org.purged", found.counts)
    assert await leaving.under_way(both) == ()


async def test_a_receipt_is_there_only_at_the_end(both: Store) -> None:
    await connect(both)
    await left(both)
    assert await orgs.receipt(both, "acme") is None
    assert await orgs.receipts(both) == ()


async def test_nothing_of_the_authorizers_own_is_left(both: Store, compacting: list[list[int]]) -> None:
    await put(both, ONE.credential)
    await connect(both)
    await gone(both)
    assert await orgs.org(both, "acme") is None
    assert await connected(both, "acme") is None
    assert await policy_of(both, "acme", 1) is None
    assert await names(both) == []
    assert compacting == [[0, 0]]  # what is cleaned up is what was deleted before
    async with both.read() as reading:
        rows = repr([tuple(row) for row in (await reading.execute(select(leaving.purges))).all()])
    assert ONE.tenant_id not in rows + repr(await audit.entries(both, "acme"))


async def names(store: Store) -> list[str]:
    async with store.read() as reading:
        return sorted((await reading.execute(select(credentials.c.credential_id))).scalars())


async def test_only_the_orgs_own_credentials_go(both: Store) -> None:
    shared = GraphConnection(tenant_id="tenant-1", credential="shared")
    for name in ("shared", "default", "acme-0123abcd", "acme-4567cdef", "acme-corp-0123abcd", "platform", "alone"):
        await put(both, name)
    await connect(both, connection=shared)
    await connect(both, connection=GraphConnection(tenant_id="t3", credential="shared"), org_id="another")
    await requests.connect(
        both, "acme", connection=GraphConnection(tenant_id="t4", credential="alone"), policy=OPEN, word=said()
    )
    await gone(both)
    assert await names(both) == ["acme-corp-0123abcd", "default", "platform", "shared"]


async def test_the_deployments_default_credential_stays_for_the_next_org(both: Store) -> None:
    await put(both, "default")
    await connect(both, connection=OTHER)
    await gone(both)
    assert await names(both) == ["default"]


@pytest.mark.parametrize("broken", ["compact", "append", "totals"])
async def test_a_crash_while_closing_is_made_good_by_the_next_try(
    both: Store, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    await put(both, ONE.credential)
    await connect(both)
    await all_answer(both, await left(both), messages=1)

    def crash(*_: object, **__: object) -> None:
        raise LookupError

    with monkeypatch.context() as patch:
        place: Any = {"compact": Store, "append": audit, "totals": leaving.purging}[broken]
        patch.setattr(place, broken, crash)
        with pytest.raises(LookupError):
            await leaving.close(both, await one(both), now=LATER)
    assert await orgs.receipt(both, "acme") is None
    assert await orgs.org(both, "acme") is None  # the first part is done, and is done once
    with pytest.raises(Retry, match="purge_under_way"):
        await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said(LATER + 1))
    assert await leaving.next_step(both, await one(both), now=LATER) == Close()
    await leaving.close(both, await one(both), now=LATER + 3)
    found = await orgs.receipt(both, "acme")
    assert found is not None
    assert (found.counts["credentials"], found.counts["policies"], found.counts["messages"]) == (1, 1, 3)
    assert (await acts(both)).count(("authorizer", "org.purged")) == 1


async def test_a_crash_while_beginning_leaves_the_org_as_it_was(both: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await connect(both)

    async def crash(*_: object, **__: object) -> str:
        raise LookupError

    with monkeypatch.context() as patch:
        patch.setattr(audit, "append", crash)
        with pytest.raises(LookupError):
            await left(both)
    assert ((await state(both)).state, (await state(both)).generation) == ("connected", 1)
    assert await purge_rows(both) == 0


async def test_closing_from_two_sides_at_once_writes_one_receipt(store_url: str) -> None:
    stores = open_store(store_url), open_store(store_url)
    await connect(stores[0])
    await all_answer(stores[0], await left(stores[0]))
    purge = await one(stores[0])
    hashes = await asyncio.gather(*(leaving.close(store, purge, now=LATER) for store in stores))
    assert len(set(hashes)) == 1
    assert (await acts(stores[0])).count(("authorizer", "org.purged")) == 1
    assert await leaving.close(stores[1], purge, now=LATER + 9) == hashes[0]
    for store in stores:
        await store.close()


async def test_an_org_that_comes_back_begins_above_its_old_generation(both: Store) -> None:
    await connect(both)
    await gone(both)
    await connect(both, at=LATER + 10)
    assert ((await state(both)).state, (await state(both)).generation) == ("connected", 3)
    await gone(both, at=LATER + 20)
    await connect(both, at=LATER + 30)
    assert (await state(both)).generation == 5
    assert [each.generation for each in await orgs.receipts(both, "acme")] == [2, 4]
    last = await orgs.receipt(both, "acme")
    assert last is not None
    assert last.generation == 4


async def test_a_request_to_connect_waits_until_the_purge_has_ended(both: Store) -> None:
    await connect(both)
    await left(both)
    with pytest.raises(Retry) as caught:
        await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said(LATER + 1))
    assert (caught.value.reason, caught.value.after, caught.value.counted) == ("purge_under_way", 10, False)
    assert (await state(both)).state == "disconnecting"


async def test_a_request_from_before_the_org_left_does_not_bring_it_back(both: Store) -> None:
    await connect(both)
    await left(both)
    assert not await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said(NOW))
    await all_answer(both, (await one(both)).purge_id)
    await leaving.close(both, await one(both), now=LATER + 5)
    assert not await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said(LATER - 1))
    assert await orgs.org(both, "acme") is None


async def test_a_request_made_while_the_word_to_leave_lay_in_the_queue_counts(both: Store) -> None:
    await connect(both)
    purge_id = await leaving.begin(both, "acme", word=said(LATER, now=LATER + 7200))
    assert purge_id is not None
    await all_answer(both, purge_id)
    await leaving.close(both, await one(both), now=LATER + 7205)
    assert await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said(LATER + 1, now=LATER + 7206))
    assert await accepted(both, now=LATER + 7206) == "connected"


async def test_an_older_word_to_leave_does_not_undo_a_later_connection(both: Store) -> None:
    await connect(both, at=LATER)
    assert await leaving.begin(both, "acme", word=said(LATER - 1)) is None
    assert (await state(both)).state == "connected"
    assert await leaving.begin(both, "acme", word=said(LATER)) is not None


async def test_a_later_word_about_the_policy_does_not_keep_an_org_from_leaving(both: Store) -> None:
    await connect(both)
    await requests.change_policy(both, "acme", STRICT, word=said(LATER + 50))
    assert await leaving.begin(both, "acme", word=said(LATER)) is not None


async def test_a_policy_from_before_the_org_left_is_dropped(both: Store) -> None:
    await connect(both)
    await left(both)
    assert not await requests.change_policy(both, "acme", Policy(days_back=3), word=said(LATER - 1))
    await all_answer(both, (await one(both)).purge_id)
    await leaving.close(both, await one(both), now=LATER + 5)
    assert not await requests.change_policy(both, "acme", Policy(days_back=3), word=said(LATER - 1, now=LATER + 9))
    assert await policy_of(both, "acme", 3) is None


async def test_a_policy_said_after_a_return_that_still_waits_is_not_lost(both: Store) -> None:
    await connect(both)
    await left(both)
    with pytest.raises(Retry) as caught:
        await requests.change_policy(both, "acme", STRICT, word=said(LATER + 2))
    assert (caught.value.reason, caught.value.counted) == ("purge_under_way", False)
    await all_answer(both, (await one(both)).purge_id)
    await leaving.close(both, await one(both), now=LATER + 5)
    with pytest.raises(Retry) as caught:  # the word that connects it again rests a while longer
        await requests.change_policy(both, "acme", STRICT, word=said(LATER + 2, now=LATER + 6))
    assert (caught.value.reason, caught.value.counted) == ("org_unknown", True)
    await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said(LATER + 1, now=LATER + 9))
    assert await requests.change_policy(both, "acme", STRICT, word=said(LATER + 2, now=LATER + 11))
    assert (await state(both)).policy == STRICT


async def test_nothing_of_it_is_doubted_any_more(both: Store) -> None:
    await connect(both)
    await left(both)
    assert not await requests.doubt(both, "acme", generation=2, now=LATER)


async def test_a_database_that_cannot_be_cleaned_up_does_not_cost_the_receipt(
    both: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: Store) -> bool:
        raise OperationalError("VACUUM", {}, Exception("database or disk is full"))

    monkeypatch.setattr(Store, "compact", full)
    await connect(both)
    await gone(both)
    found = await orgs.receipt(both, "acme")
    assert found is not None
    assert found.counts["compacted"] == 0


async def test_what_an_org_was_is_in_no_file_of_the_database_any_more(sqlite_url: str, tmp_path: Path) -> None:
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(Store, "compact", COMPACT)  # the real one
    store = open_store(sqlite_url)
    canary = GraphConnection(tenant_id="canary-tenant", credential="acme-0123abcd")
    await put(store, canary.credential)
    await requests.connect(store, "acme", connection=canary, policy=HIDDEN, word=said())
    await accepted(store, now=NOW)
    assert bytes_of(tmp_path).count(b"canary") > 1
    await gone(store)
    found = await orgs.receipt(store, "acme")
    written = bytes_of(tmp_path)  # while it is open: its write-ahead log too
    await store.close()
    monkeypatch.undo()
    assert found is not None
    assert found.counts["compacted"] == 1
    assert b"acme" in written
    for trace in (b"canary", canary.credential.encode()):
        assert trace not in written


def bytes_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.glob("busyline.db*")))
