"""What other services read of an org."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from sqlalchemy import update

from shared.connections import about_credential, connected, credential_of, generations, policy_of
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Detail, Policy
from shared.ews.credential import EwsCredential
from shared.identity import GraphCredential
from shared.store import Store, open_store
from shared.tables import credentials, orgs, policies
from shared.vault import Vault, VaultError

CONNECTION = GraphConnection(tenant_id="t1")
POLICY = Policy(detail=Detail.DETAILS)
VAULT = Vault({"k1": b"1" * 32})


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    made = open_store(sqlite_url)
    yield made
    await made.close()


async def put(store: Store, org_id: str, *, state: str = "connected", generation: int = 1) -> None:
    encoded = msgspec.json.encode(POLICY)
    async with store.write() as connection:
        await connection.execute(
            orgs.insert().values(
                org_id=org_id,
                generation=generation,
                state=state,
                connection=msgspec.json.encode(CONNECTION),
                tenant_id="t1",
                policy=encoded,
            )
        )
        await connection.execute(
            policies.insert().values(org_id=org_id, generation=generation, policy=encoded, created_at=1)
        )


async def test_an_org_is_read_as_it_stands(store: Store) -> None:
    await put(store, "acme", generation=3)
    found = await connected(store, "acme")
    assert found is not None
    assert (found.generation, found.state, found.connection, found.policy) == (3, "connected", CONNECTION, POLICY)
    assert await connected(store, "nobody") is None


async def test_an_older_policy_can_still_be_read(store: Store) -> None:
    await put(store, "acme", generation=3)
    assert await policy_of(store, "acme", 3) == POLICY
    assert await policy_of(store, "acme", 2) is None


async def test_only_orgs_in_force_have_a_generation(store: Store) -> None:
    await put(store, "a", generation=2)
    await put(store, "attended", state="attention", generation=4)
    for state in ("refused", "requested", "disconnecting"):
        await put(store, state, state=state)
    async with store.write() as connection:
        asked = ["a", "attended", "refused", "requested", "disconnecting", "nobody", "a"]
        assert await generations(connection, asked) == {"a": 2, "attended": 4}
        assert await generations(connection, []) == {}


async def test_many_orgs_are_asked_for_in_parts(store: Store) -> None:
    await put(store, "a")
    async with store.write() as connection:
        assert await generations(connection, ["a", *(f"org{n}" for n in range(1200))]) == {"a": 1}


async def seal(store: Store, credential_id: str, plain: bytes) -> None:
    sealed = VAULT.seal(plain, about=about_credential(credential_id))
    async with store.write() as connection:
        await connection.execute(credentials.insert().values(credential_id=credential_id, sealed=sealed, changed_at=1))


async def test_a_credential_is_opened_for_its_own_row_only(store: Store) -> None:
    credential = GraphCredential(client_id="app", client_secret="secret")
    await seal(store, "default", msgspec.json.encode(credential))
    assert await credential_of(store, VAULT, "default", GraphCredential) == credential
    assert await credential_of(store, VAULT, "another", GraphCredential) is None
    async with store.write() as connection:
        await connection.execute(update(credentials).values(credential_id="another"))
    with pytest.raises(VaultError, match="seal_broken"):
        await credential_of(store, VAULT, "another", GraphCredential)


async def test_a_credential_of_another_shape_is_refused_without_its_contents(store: Store) -> None:
    await seal(store, "default", b'{"client_secret": "canary"}')
    with pytest.raises(VaultError) as caught:
        await credential_of(store, VAULT, "default", GraphCredential)
    assert caught.value.reason == "contents_malformed"
    assert "canary" not in repr(caught.value)
    assert caught.value.__suppress_context__


async def test_a_credential_of_the_other_kind_is_not_taken_for_one(store: Store) -> None:
    await seal(store, "graph", msgspec.json.encode(GraphCredential(client_id="app", client_secret="canary")))
    await seal(store, "ews", msgspec.json.encode(EwsCredential(username="svc", password="canary")))
    assert await credential_of(store, VAULT, "ews", EwsCredential) == EwsCredential(username="svc", password="canary")
    with pytest.raises(VaultError, match="contents_malformed"):
        await credential_of(store, VAULT, "graph", EwsCredential)
    with pytest.raises(VaultError, match="contents_malformed"):
        await credential_of(store, VAULT, "ews", GraphCredential)
