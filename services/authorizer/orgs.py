"""Edge: what is kept of an org, and what a request to connect it changes at once.

A policy takes effect the moment it is asked for; another connection only once it is verified: until then, and if it is
refused, the one in force stays. Each change of what is in force raises the generation under the publication lock.
"""

import re
import secrets
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.connections import CONNECTED, about_credential
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.contracts.values import Instant
from shared.identity import GraphCredential
from shared.store import Store
from shared.tables import credentials, orgs, policies
from shared.vault import Vault

REQUESTED: Final = "requested"
REFUSED: Final = "refused"
LONGEST_PREFIX = 55  # of an org's id in a credential's name, which has at most 64 characters


class OrgState(Struct, frozen=True, kw_only=True):
    """An org as it stands. `pending`: a verification is still to come, and the verdict below is not the last word.

    `reason` and `sentence` say what the admin must do, also where an org stays connected under an older connection.
    """

    org_id: str
    generation: int
    state: str
    pending: bool
    connection: GraphConnection
    tenant_id: str
    policy: Policy
    reason: str | None = None
    sentence: str | None = None
    connected_at: Instant | None = None
    enumerate_at: Instant | None = None


async def request(store: Store, *, org_id: str, connection: GraphConnection, policy: Policy, now: Instant) -> None:
    """Store a request to connect an org; it is verified within a second or two. The same request twice is one."""
    fresh = {"verify_at": now, "reason": None, "sentence": None}
    async with store.write() as writing:
        await store.publication_lock(writing)
        row = (await writing.execute(select(orgs).where(orgs.c.org_id == org_id))).one_or_none()
        if row is None or row.state != CONNECTED:
            values = {"state": REQUESTED, **_connection(connection), "policy": msgspec.json.encode(policy), **fresh}
            insert = store.upsert(orgs).values(org_id=org_id, generation=0, **values)
            await writing.execute(insert.on_conflict_do_update(index_elements=["org_id"], set_=values))
            return
        in_force = msgspec.json.decode(row.connection, type=GraphConnection)
        asked = None if in_force == connection else msgspec.json.encode(connection)
        await writing.execute(
            update(orgs).where(orgs.c.org_id == org_id).values(asked=asked, enumerate_at=now, **fresh)
        )
        if msgspec.json.decode(row.policy, type=Policy) != policy:
            await raise_generation(writing, org_id, generation=row.generation + 1, policy=policy, now=now)


def _connection(connection: GraphConnection) -> dict[str, object]:
    return {"connection": msgspec.json.encode(connection), "tenant_id": connection.tenant_id.lower()}


async def raise_generation(
    writing: AsyncConnection, org_id: str, *, generation: int, policy: Policy, now: Instant
) -> None:
    """Put a policy in force under a generation of its own, within a transaction that holds the publication lock."""
    encoded = msgspec.json.encode(policy)
    await writing.execute(
        policies.insert().values(org_id=org_id, generation=generation, policy=encoded, created_at=now)
    )
    await writing.execute(
        update(orgs).where(orgs.c.org_id == org_id).values(generation=generation, policy=encoded, enumerate_at=now)
    )


async def org(store: Store, org_id: str) -> OrgState | None:
    """Return one org, or None where it is not known."""
    async with store.read() as reading:
        row = (await reading.execute(select(orgs).where(orgs.c.org_id == org_id))).one_or_none()
    return None if row is None else _state(row)


async def all_orgs(store: Store) -> tuple[OrgState, ...]:
    """Return every org, by its id."""
    async with store.read() as reading:
        return tuple(_state(row) for row in await reading.execute(select(orgs).order_by(orgs.c.org_id)))


def _state(row: Row[Any]) -> OrgState:
    return OrgState(
        org_id=row.org_id,
        generation=row.generation,
        state=row.state,
        pending=row.state == REQUESTED or row.asked is not None or (row.verify_at is not None and row.reason is None),
        connection=msgspec.json.decode(row.connection, type=GraphConnection),
        tenant_id=row.tenant_id,
        policy=msgspec.json.decode(row.policy, type=Policy),
        reason=row.reason,
        sentence=row.sentence,
        connected_at=row.connected_at,
        enumerate_at=row.enumerate_at,
    )


async def put_credential(
    store: Store, vault: Vault, credential_id: str, credential: GraphCredential, *, now: Instant
) -> None:
    """Seal a credential and store it under its name, in place of the one that was there."""
    sealed = vault.seal(msgspec.json.encode(credential), about=about_credential(credential_id))
    values = {"sealed": sealed, "changed_at": now}
    insert = store.upsert(credentials).values(credential_id=credential_id, **values)
    async with store.write() as writing:
        await writing.execute(insert.on_conflict_do_update(index_elements=["credential_id"], set_=values))


def credential_name(org_id: str) -> str:
    """Return a fresh name for an org's credential: the one in force stays until Microsoft has accepted the new one."""
    return f"{org_id[:LONGEST_PREFIX]}-{secrets.token_hex(4)}"


async def forget_unused(store: Store, org_id: str) -> int:
    """Delete an org's credentials that no connection, in force or asked for, names any more; return how many."""
    own = re.compile(re.escape(org_id[:LONGEST_PREFIX]) + "-[0-9a-f]{8}")
    async with store.write() as writing:
        rows = (await writing.execute(select(orgs.c.connection, orgs.c.asked))).all()
        used = {msgspec.json.decode(text, type=GraphConnection).credential for row in rows for text in row if text}
        names = (await writing.execute(select(credentials.c.credential_id))).scalars().all()
        unused = [name for name in names if own.fullmatch(name) and name not in used]
        await writing.execute(credentials.delete().where(credentials.c.credential_id.in_(unused)))
    return len(unused)


async def reseal(store: Store, vault: Vault, *, now: Instant) -> int:
    """Seal every credential under the newest key; return how many were not so yet.

    Raises VaultError where one cannot be opened, and then changes none.
    """
    count = 0
    async with store.write() as writing:
        for row in (await writing.execute(select(credentials).with_for_update())).all():
            if not vault.is_newest(row.sealed):
                sealed = vault.rotate(row.sealed, about=about_credential(row.credential_id))
                where = credentials.c.credential_id == row.credential_id
                await writing.execute(update(credentials).where(where).values(sealed=sealed, changed_at=now))
                count += 1
    return count


async def open_all(store: Store, vault: Vault) -> None:
    """See that every credential can be opened. Raises VaultError."""
    async with store.read() as reading:
        for row in (await reading.execute(select(credentials))).all():
            vault.open(row.sealed, about=about_credential(row.credential_id))
