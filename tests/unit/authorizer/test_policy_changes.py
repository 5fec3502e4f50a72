"""Another policy on both databases: in force at once, what it forbids erased with it, late words ignored."""

import pytest
from sqlalchemy import select, update

from services.authorizer import audit, orgs, requests, verdicts
from shared.connections import policy_of
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy, Scope
from shared.errors import Retry
from shared.store import Store
from shared.tables import orgs as table
from shared.tables import timelines, updates
from tests.unit.authorizer.acting import (
    NOW,
    ONE,
    OPEN,
    OTHER,
    STRICT,
    accepted,
    acts,
    connect,
    fill,
    refused,
    row,
    said,
    state,
)

HIDDEN = Policy(scope=Scope(exclude=("canary@x.example",)))


async def change(store: Store, policy: Policy, *, at: int = NOW) -> bool:
    return await requests.change_policy(store, "acme", policy, word=said(at))


async def published(store: Store, org_id: str) -> tuple[list[bytes | None], list[str]]:
    async with store.read() as reading:
        events = select(timelines.c.events).where(timelines.c.org_id == org_id)
        types = select(updates.c.type).where(updates.c.org_id == org_id)
        return list((await reading.execute(events)).scalars()), list((await reading.execute(types)).scalars())


async def test_a_stricter_policy_erases_what_it_forbids_of_this_org_alone(both: Store) -> None:
    await connect(both)
    for org_id in ("acme", "another"):
        await fill(both, org_id)
    before = await published(both, "another")
    assert await change(both, STRICT)
    assert await published(both, "acme") == ([None, None], ["mailbox.removed.v1"] * 2)
    assert await published(both, "another") == before
    found = await row(both)
    assert (found.generation, found.shown_from, found.enumerate_at) == (2, 2, NOW)
    assert await policy_of(both, "acme", 2) == STRICT


async def test_a_looser_policy_erases_nothing(both: Store) -> None:
    await connect(both, policy=STRICT)
    await fill(both)
    before = await published(both, "acme")
    assert await change(both, OPEN)
    assert await published(both, "acme") == before
    assert ((await row(both)).generation, (await row(both)).shown_from) == (2, 0)


async def test_a_looser_policy_after_a_stricter_one_does_not_show_the_old_again(both: Store) -> None:
    await connect(both)
    await change(both, STRICT)
    await change(both, OPEN)
    assert ((await row(both)).generation, (await row(both)).shown_from) == (3, 2)


async def test_a_stricter_policy_said_by_connecting_again_erases_too(both: Store) -> None:
    await connect(both)
    await fill(both)
    assert await requests.connect(both, "acme", connection=ONE, policy=STRICT, word=said())
    assert (await published(both, "acme"))[0] == [None, None]
    assert await acts(both) == [
        ("platform", "org.requested"), ("authorizer", "org.connected"),
        ("platform", "org.requested"), ("platform", "policy.changed"),
    ]  # fmt: skip


async def test_the_same_policy_twice_changes_nothing(both: Store) -> None:
    await connect(both)
    for _ in range(2):
        assert await change(both, STRICT)
    assert (await state(both)).generation == 2
    assert (await acts(both)).count(("platform", "policy.changed")) == 1
    await fill(both)
    await change(both, STRICT)
    assert (await published(both, "acme"))[0] == [b'["canary"]'] * 2


async def test_the_audit_log_names_the_fields_and_nobody(both: Store) -> None:
    await connect(both)
    await change(both, HIDDEN)
    *_, entry = await audit.entries(both, "acme")
    assert entry.details == {"fields": "detail scope", "stricter": True, "generation": 2}
    assert "canary" not in repr(await audit.entries(both, "acme"))


async def test_a_failure_on_the_way_changes_and_erases_nothing(both: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await connect(both)
    await fill(both)
    before = await published(both, "acme")

    async def broken(*_: object, **__: object) -> str:
        raise LookupError

    monkeypatch.setattr(audit, "append", broken)
    with pytest.raises(LookupError):
        await change(both, STRICT)
    assert await published(both, "acme") == before
    assert ((await state(both)).generation, (await state(both)).policy) == (1, OPEN)


async def test_a_policy_for_an_org_not_yet_connected_is_kept_and_verified_with_it(both: Store) -> None:
    await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said())
    assert await change(both, STRICT)
    found = await state(both)
    assert (found.state, found.generation, found.policy) == ("requested", 0, STRICT)
    assert await accepted(both, now=NOW) == "connected"
    assert await policy_of(both, "acme", 1) == STRICT
    assert ("platform", "policy.changed") in await acts(both)


async def test_a_policy_for_a_refused_org_is_kept_and_verified_with_it(both: Store) -> None:
    await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said())
    assert await refused(both, now=NOW) == "refused"
    assert await change(both, STRICT)
    found = await state(both)
    assert (found.state, found.reason, found.policy) == ("refused", "secret_expired", STRICT)
    assert await accepted(both, now=NOW + 3600) == "connected"
    assert (await state(both)).policy == STRICT


async def test_a_refused_org_is_tried_at_once_under_another_policy(both: Store) -> None:
    await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said())
    assert await refused(both, now=NOW, reason="group_empty") == "refused"
    assert await change(both, STRICT, at=NOW + 5)
    assert await accepted(both, now=NOW + 5) == "connected"


async def test_another_policy_does_not_shorten_a_pause_that_was_ordered(both: Store) -> None:
    await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said())
    await refused(both, now=NOW)
    (claimed,) = await verdicts.claim(both, now=NOW + 3600, limit=1)
    await verdicts.put_off(both, claimed, reason="graph_throttled", until=NOW + 4200)
    assert await change(both, STRICT, at=NOW + 3601)
    assert await verdicts.claim(both, now=NOW + 4199, limit=1) == ()


async def test_another_tenant_hides_what_was_read_of_the_one_before(both: Store) -> None:
    await connect(both)
    await fill(both)
    await requests.connect(both, "acme", connection=OTHER, policy=OPEN, word=said())
    assert await accepted(both, now=NOW, tenant_id="guid-of-tenant-2") == "connected"
    assert await published(both, "acme") == ([None, None], ["mailbox.removed.v1"] * 2)
    assert (await row(both)).shown_from == 2


async def test_another_credential_of_the_same_tenant_hides_nothing(both: Store) -> None:
    await connect(both)
    await fill(both)
    before = await published(both, "acme")
    again = GraphConnection(tenant_id="tenant-1", credential="acme-89abcdef")
    await requests.connect(both, "acme", connection=again, policy=OPEN, word=said())
    assert await accepted(both, now=NOW) == "connected"
    assert await published(both, "acme") == before
    assert (await row(both)).shown_from == 0


async def test_a_policy_for_an_org_nobody_knows_is_tried_again_and_then_parked(both: Store) -> None:
    with pytest.raises(Retry) as caught:
        await change(both, STRICT)
    assert (caught.value.reason, caught.value.counted) == ("org_unknown", True)


async def test_an_older_word_about_the_policy_does_not_undo_a_later_one(both: Store) -> None:
    await connect(both, policy=Policy(days_back=1), at=NOW)
    assert await change(both, OPEN, at=NOW + 10)
    assert not await change(both, STRICT, at=NOW + 9)
    assert (await state(both)).policy == OPEN
    assert await change(both, STRICT, at=NOW + 10)  # of the same second: as it comes
    assert (await state(both)).policy == STRICT


async def test_an_older_word_about_the_policy_does_not_undo_a_later_connection(both: Store) -> None:
    await connect(both, policy=STRICT, at=NOW + 10)
    assert not await change(both, OPEN, at=NOW + 9)
    assert ((await state(both)).generation, (await state(both)).policy) == (1, STRICT)


async def test_an_older_request_to_connect_does_not_undo_a_newer_one(both: Store) -> None:
    await connect(both, connection=OTHER, policy=STRICT, at=NOW + 10)
    assert not await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said(NOW + 9))
    found = await state(both)
    assert (found.connection, found.policy, found.pending, found.generation) == (OTHER, STRICT, False, 1)
    assert len(await acts(both)) == 2


async def test_an_older_request_counts_for_the_connection_where_only_the_policy_is_newer(both: Store) -> None:
    await connect(both, at=NOW)
    await change(both, STRICT, at=NOW + 10)
    assert await requests.connect(both, "acme", connection=OTHER, policy=OPEN, word=said(NOW + 9))
    assert (await state(both)).policy == STRICT
    assert await accepted(both, now=NOW + 10, tenant_id="guid-2") == "connected"
    assert ((await state(both)).connection, (await state(both)).policy) == (OTHER, STRICT)
    assert not await change(both, OPEN, at=NOW + 9)


async def test_an_org_of_an_earlier_release_takes_any_word(both: Store) -> None:
    await connect(both)
    async with both.write() as writing:
        await writing.execute(update(table).values(requested_at=None, policy_at=None))
    assert await change(both, STRICT, at=1)
    assert await orgs.org(both, "acme")
    assert await requests.connect(both, "acme", connection=OTHER, policy=STRICT, word=said(2))


async def test_a_repeated_request_is_written_into_the_audit_log_once(both: Store) -> None:
    for _ in range(3):
        await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said(actor="jo"))
    assert await acts(both) == [("jo", "org.requested")]
    await accepted(both, now=NOW)
    await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said(actor="jo"))
    await accepted(both, now=NOW)
    assert await acts(both) == [("jo", "org.requested"), ("authorizer", "org.connected")]
