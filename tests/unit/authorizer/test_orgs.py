"""What a request changes at once, what a verdict changes, and what neither may change."""

import msgspec
import pytest
from sqlalchemy import select, update

from services.authorizer import audit, due, orgs, verdicts
from services.authorizer.orgs import OrgState, credential_name
from services.authorizer.verdicts import Claim
from shared.connections import credential_of, generations, policy_of
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Detail, Policy
from shared.identity import GraphCredential
from shared.store import Store
from shared.tables import credentials, policies
from shared.tables import orgs as table
from shared.vault import Vault, VaultError
from tests.unit.authorizer.authorizer_fakes import times

NOW = 1_800_000_000
ONE = GraphConnection(tenant_id="Tenant-1")
OTHER = GraphConnection(tenant_id="tenant-2")
OPEN = Policy(detail=Detail.DETAILS)
STRICT = Policy()


async def request(
    store: Store, connection: GraphConnection = ONE, policy: Policy = OPEN, *, org_id: str = "acme", now: int = NOW
) -> None:
    await orgs.request(store, org_id=org_id, connection=connection, policy=policy, now=now)


async def claim(store: Store, now: int = NOW) -> Claim:
    (claimed,) = await verdicts.claim(store, now=now, limit=10)
    return claimed


async def accept(store: Store, tenant_id: str = "guid-1", now: int = NOW) -> str:
    return await verdicts.accept(store, await claim(store, now), tenant_id=tenant_id, times=times(now))


async def refuse(store: Store, again_at: int | None = NOW + 3600) -> None:
    await verdicts.refuse(
        store, await claim(store), reason="secret_wrong", code=7000215, times=times(NOW, refused=again_at)
    )


async def connect(store: Store, connection: GraphConnection = ONE, policy: Policy = OPEN) -> None:
    await request(store, connection, policy)
    assert await accept(store) == "connected"


async def state(store: Store, org_id: str = "acme") -> OrgState:
    found = await orgs.org(store, org_id)
    assert found is not None
    return found


async def test_a_request_waits_for_verification(store: Store) -> None:
    await request(store)
    found = await state(store)
    assert (found.state, found.pending, found.generation) == ("requested", True, 0)
    assert found.tenant_id == "tenant-1"
    async with store.read() as reading:
        assert await generations(reading, ["acme"]) == {}


async def test_an_org_that_is_not_known_is_none(store: Store) -> None:
    assert await orgs.org(store, "acme") is None
    assert await orgs.all_orgs(store) == ()


async def test_orgs_are_listed_by_their_id(store: Store) -> None:
    for org_id in ("b", "a"):
        await request(store, org_id=org_id)
    assert [found.org_id for found in await orgs.all_orgs(store)] == ["a", "b"]


async def test_an_accepted_org_is_connected_under_its_first_generation(store: Store) -> None:
    await connect(store)
    found = await state(store)
    assert (found.state, found.pending, found.generation) == ("connected", False, 1)
    assert (found.tenant_id, found.connected_at, found.enumerate_at) == ("guid-1", NOW, NOW)
    assert await policy_of(store, "acme", 1) == OPEN


async def test_the_same_request_again_raises_no_generation_and_searches_again(store: Store) -> None:
    await connect(store)
    await due.remember(store, await due.claim(store, now=NOW), next_at=NOW + 86_400)
    for later in (NOW + 5, NOW + 10):
        await request(store, now=later)
        assert await accept(store, now=later) == "unchanged"
        found = await state(store)
        assert (found.generation, found.connected_at, found.enumerate_at) == (1, NOW, later)


async def test_a_request_handled_twice_before_its_verdict_is_one(store: Store) -> None:
    await request(store)
    await request(store)
    assert await accept(store) == "connected"
    assert (await state(store)).generation == 1


async def test_a_request_redelivered_during_its_verification_is_one(store: Store) -> None:
    await request(store)
    first = await claim(store)
    await request(store)
    assert await accept(store) == "connected"
    assert await verdicts.accept(store, first, tenant_id="guid-1", times=times(NOW)) == "superseded"
    assert (await state(store)).generation == 1


async def test_a_request_of_the_same_second_is_not_overtaken_by_the_verification_of_the_one_before(
    store: Store,
) -> None:
    await request(store)
    first = await claim(store)
    await request(store, OTHER)
    second = await claim(store)
    assert first.until == second.until
    assert await verdicts.accept(store, first, tenant_id="guid-1", times=times(NOW)) == "superseded"
    assert await verdicts.refuse(store, first, reason="secret_wrong", times=times(NOW)) == "superseded"
    assert await verdicts.accept(store, second, tenant_id="guid-2", times=times(NOW)) == "connected"
    assert (await state(store)).connection == OTHER


async def test_a_changed_policy_is_in_force_at_once_under_a_new_generation(store: Store) -> None:
    await connect(store)
    await request(store, policy=STRICT)
    found = await state(store)
    assert (found.state, found.generation, found.policy) == ("connected", 2, STRICT)
    assert await policy_of(store, "acme", 2) == STRICT
    assert await policy_of(store, "acme", 1) == OPEN
    async with store.read() as reading:
        assert await generations(reading, ["acme"]) == {"acme": 2}
    assert found.enumerate_at == NOW


async def test_a_policy_that_is_only_written_differently_is_the_same(store: Store) -> None:
    await connect(store)
    async with store.write() as writing:
        await writing.execute(update(table).values(policy=b'{ "detail": "details", "unknown_in_this_release": 1 }'))
    await request(store)
    assert (await state(store)).generation == 1


async def test_another_connection_leaves_the_first_in_force_until_it_is_verified(store: Store) -> None:
    await connect(store)
    await request(store, OTHER)
    found = await state(store)
    assert (found.state, found.pending, found.generation, found.connection) == ("connected", True, 1, ONE)
    assert await accept(store, "guid-2") == "connected"
    found = await state(store)
    assert (found.pending, found.generation, found.connection, found.tenant_id) == (False, 2, OTHER, "guid-2")


async def test_a_refused_change_leaves_the_first_in_force_and_says_why(store: Store) -> None:
    await connect(store)
    await request(store, OTHER)
    await refuse(store)
    found = await state(store)
    assert (found.state, found.pending, found.generation, found.connection) == ("connected", False, 1, ONE)
    assert found.reason == "secret_wrong"
    assert found.sentence is not None
    assert "AADSTS7000215" in found.sentence
    assert await verdicts.claim(store, now=NOW + 86_399, limit=10) == ()


async def test_a_stricter_policy_is_in_force_even_if_its_connection_is_refused(store: Store) -> None:
    await connect(store)
    await request(store, OTHER, STRICT)
    await refuse(store)
    found = await state(store)
    assert (found.policy, found.generation, found.connection) == (STRICT, 2, ONE)


async def test_asking_for_the_connection_in_force_withdraws_a_change(store: Store) -> None:
    await connect(store)
    await request(store, OTHER)
    await request(store, ONE)
    assert (await claim(store)).connection == ONE


async def test_a_refused_org_is_tried_again_by_itself_and_may_be_accepted(store: Store) -> None:
    await request(store)
    await refuse(store)
    found = await state(store)
    assert (found.state, found.pending, found.generation) == ("refused", False, 0)
    assert await verdicts.claim(store, now=NOW + 3599, limit=10) == ()
    assert await accept(store, now=NOW + 3600) == "connected"
    assert (await state(store)).reason is None


async def test_a_refused_org_may_be_asked_for_again(store: Store) -> None:
    await request(store)
    await refuse(store, again_at=None)
    await request(store, OTHER)
    found = await state(store)
    assert (found.state, found.pending, found.reason, found.connection) == ("requested", True, None, OTHER)


async def test_a_late_refusal_does_not_hide_a_newer_request(store: Store) -> None:
    await request(store)
    late = await claim(store)
    await request(store, now=NOW + 1)
    await verdicts.refuse(store, late, reason="secret_wrong", times=times(NOW))
    await verdicts.put_off(store, late, reason="graph_throttled", until=NOW + 500)
    assert (await state(store)).state == "requested"
    assert (await claim(store, NOW + 1)).org_id == "acme"


async def test_a_verification_put_off_keeps_the_state_and_says_why(store: Store) -> None:
    await request(store)
    await verdicts.put_off(store, await claim(store), reason="graph_throttled", until=NOW + 30)
    found = await state(store)
    assert (found.state, found.pending, found.reason) == ("requested", True, "graph_throttled")
    assert await verdicts.claim(store, now=NOW + 29, limit=10) == ()
    assert (await claim(store, NOW + 30)).org_id == "acme"


async def test_a_claim_is_exclusive_until_it_runs_out(store: Store) -> None:
    await request(store)
    dead = await claim(store)
    assert await verdicts.claim(store, now=NOW + verdicts.LEASE - 1, limit=10) == ()
    assert await accept(store, now=NOW + verdicts.LEASE) == "connected"
    assert await verdicts.accept(store, dead, tenant_id="guid-1", times=times(NOW)) == "superseded"


async def test_a_claim_takes_no_more_than_asked_for_the_longest_waiting_first(store: Store) -> None:
    for n in range(5):
        await request(store, org_id=f"org{n}", now=NOW - n)
    assert [claimed.org_id for claimed in await verdicts.claim(store, now=NOW, limit=2)] == ["org4", "org3"]


async def test_a_tenant_belongs_to_one_org(store: Store) -> None:
    await connect(store)
    await request(store, org_id="thief", connection=GraphConnection(tenant_id="another-name-of-it"))
    claimed = await claim(store)
    assert await verdicts.accept(store, claimed, tenant_id="guid-1", times=times(NOW)) == "tenant_taken"
    assert (await state(store, "thief")).state == "requested"


async def test_an_org_that_was_taken_away_meanwhile_is_not_brought_back(store: Store) -> None:
    await request(store)
    claimed = await claim(store)
    async with store.write() as writing:
        await writing.execute(table.delete())
    assert await verdicts.accept(store, claimed, tenant_id="guid-1", times=times(NOW)) == "superseded"
    await verdicts.refuse(store, claimed, reason="secret_wrong", times=times(NOW))
    assert await orgs.all_orgs(store) == ()


async def test_a_search_is_due_when_its_time_has_come_and_remembered(store: Store) -> None:
    await connect(store)
    claimed = await due.claim(store, now=NOW)
    assert [(each.org_id, each.generation) for each in claimed] == [("acme", 1)]
    assert await due.claim(store, now=NOW) == ()
    await due.remember(store, claimed, next_at=NOW + 86_400)
    assert await due.claim(store, now=NOW + 86_399) == ()
    assert len(await due.claim(store, now=NOW + 86_400)) == 1


async def test_a_search_not_remembered_is_asked_for_again(store: Store) -> None:
    await connect(store)
    await due.claim(store, now=NOW)
    assert len(await due.claim(store, now=NOW + due.LEASE)) == 1


async def test_a_change_during_a_search_is_searched_again(store: Store) -> None:
    await connect(store)
    claimed = await due.claim(store, now=NOW)
    await request(store, policy=STRICT, now=NOW + 1)
    await due.remember(store, claimed, next_at=NOW + 86_400)
    assert [each.generation for each in await due.claim(store, now=NOW + 1)] == [2]


async def test_only_connected_orgs_are_searched(store: Store) -> None:
    await request(store)
    await due.everything(store, now=NOW)
    assert await due.claim(store, now=NOW) == ()


async def test_after_a_restart_without_queues_everything_is_due(store: Store) -> None:
    await connect(store)
    await due.remember(store, await due.claim(store, now=NOW), next_at=NOW + 86_400)
    await request(store, org_id="begun")
    await claim(store)
    await due.everything(store, now=NOW + 1)
    assert len(await due.claim(store, now=NOW + 1)) == 1
    assert (await claim(store, NOW + 1)).org_id == "begun"


async def test_a_policy_once_written_is_never_changed(store: Store) -> None:
    await connect(store)
    await request(store, policy=STRICT)
    await request(store, policy=OPEN)
    async with store.read() as reading:
        rows = (await reading.execute(select(policies).order_by(policies.c.generation))).all()
    assert [msgspec.json.decode(row.policy, type=Policy) for row in rows] == [OPEN, STRICT, OPEN]


OLD, NEW = {"k1": b"1" * 32}, {"k2": b"2" * 32}
CREDENTIAL = GraphCredential(client_id="app", client_secret="canary")


async def test_a_credential_is_stored_sealed_and_overwritten_by_name(store: Store) -> None:
    vault = Vault(OLD)
    for secret in ("canary-1", "canary-2"):
        credential = GraphCredential(client_id="app", client_secret=secret)
        await orgs.put_credential(store, vault, "default", credential, now=NOW)
    async with store.read() as reading:
        (row,) = (await reading.execute(select(credentials))).all()
    assert b"canary" not in row.sealed
    found = await credential_of(store, vault, "default", GraphCredential)
    assert found is not None
    assert found.client_secret == "canary-2"


async def test_a_credential_stored_is_told_of_once_and_without_its_name(store: Store) -> None:
    for credential in (CREDENTIAL, CREDENTIAL, GraphCredential(client_id="app", certificate="canary")):
        await orgs.put_credential(store, Vault(OLD), "acme-0123abcd", credential, now=NOW, org_id="acme", actor="jo")
    await orgs.put_credential(store, Vault(OLD), "default", CREDENTIAL, now=NOW)
    told = [(entry.actor, entry.action, entry.details) for entry in await audit.entries(store, "acme")]
    assert told == [
        ("jo", "credential.stored", {"form": "client_secret"}),
        ("jo", "credential.stored", {"form": "certificate"}),
    ]
    (entry,) = await audit.entries(store, audit.DEPLOYMENT)
    assert (entry.actor, entry.action) == ("operator", "credential.stored")
    assert "0123abcd" not in repr(await audit.entries(store, "acme"))


async def test_a_credential_that_cannot_be_opened_any_more_is_replaced(store: Store) -> None:
    await orgs.put_credential(store, Vault(OLD), "a", CREDENTIAL, now=NOW)
    await orgs.put_credential(store, Vault(NEW), "a", CREDENTIAL, now=NOW)
    assert await credential_of(store, Vault(NEW), "a", GraphCredential) == CREDENTIAL


async def test_unused_credentials_of_an_org_are_forgotten_and_no_others(store: Store) -> None:
    for name in ("acme-00000001", "acme-00000002", "acme-00000003", "acme-corp-00000001", "default"):
        await orgs.put_credential(store, Vault(OLD), name, CREDENTIAL, now=NOW)
    await request(store, GraphConnection(tenant_id="t", credential="acme-00000001"))
    await accept(store)
    await request(store, GraphConnection(tenant_id="t", credential="acme-00000002"))
    assert await orgs.forget_unused(store, "acme") == 1
    async with store.read() as reading:
        names = sorted((await reading.execute(select(credentials.c.credential_id))).scalars())
    assert names == ["acme-00000001", "acme-00000002", "acme-corp-00000001", "default"]
    assert credential_name("acme").startswith("acme-")


async def test_resealing_moves_every_credential_to_the_newest_key(store: Store) -> None:
    for name in ("a", "b"):
        await orgs.put_credential(store, Vault(OLD), name, CREDENTIAL, now=NOW)
    assert await orgs.reseal(store, Vault({**NEW, **OLD}), now=NOW) == 2
    assert await orgs.reseal(store, Vault({**NEW, **OLD}), now=NOW) == 0
    await orgs.open_all(store, Vault(NEW))
    assert await credential_of(store, Vault(NEW), "a", GraphCredential) == CREDENTIAL


async def test_resealing_changes_nothing_where_one_cannot_be_opened(store: Store) -> None:
    await orgs.put_credential(store, Vault(OLD), "a", CREDENTIAL, now=NOW)
    await orgs.put_credential(store, Vault({"k0": b"0" * 32}), "b", CREDENTIAL, now=NOW)
    with pytest.raises(VaultError, match="key_unknown"):
        await orgs.reseal(store, Vault({**NEW, **OLD}), now=NOW)
    assert await credential_of(store, Vault(OLD), "a", GraphCredential) == CREDENTIAL


async def test_a_lost_key_is_noticed(store: Store) -> None:
    await orgs.put_credential(store, Vault(OLD), "a", CREDENTIAL, now=NOW)
    with pytest.raises(VaultError, match="key_unknown"):
        await orgs.open_all(store, Vault(NEW))
