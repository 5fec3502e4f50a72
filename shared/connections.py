"""Reads what the authorizer keeps of an org: how it is reached, under which policy, in which generation.

Only the authorizer writes these tables; a sealed credential is opened here, for authorizer and fetcher alone.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.messages import Connection
from shared.contracts.policy import Policy
from shared.contracts.values import Instant
from shared.ews.credential import EwsCredential
from shared.identity import GraphCredential
from shared.store import Store
from shared.tables import credentials, orgs, policies
from shared.vault import Vault, VaultError

C = TypeVar("C", GraphCredential, EwsCredential)

CONNECTED: Final = "connected"
ATTENTION: Final = "attention"  # connected, but turned away at present: no work for it until the admin has repaired it
GRAPH: Final = "graph"  # sorts of connections
EWS: Final = "ews"
DISCONNECTING: Final = "disconnecting"  # what is held of it is being deleted
IN_FORCE: Final = (CONNECTED, ATTENTION)
_AT_ONCE: Final = 500  # SQLite takes 999 variables in old builds


class Connected(Struct, frozen=True, kw_only=True):
    """An org as it stands. Only while `state` is "connected" is it read. `verify_at`: when it is verified next.

    `reason` says why the last verification did not end well, or has not ended yet; None where it was good.
    """

    org_id: str
    generation: int
    state: str
    connection: Connection
    policy: Policy
    verify_at: Instant | None = None
    reason: str | None = None


async def connected(store: Store, org_id: str) -> Connected | None:
    """Return an org in whatever state it is, or None where it is not known."""
    columns = (orgs.c.generation, orgs.c.state, orgs.c.connection, orgs.c.policy, orgs.c.verify_at, orgs.c.reason)
    query = select(*columns).where(orgs.c.org_id == org_id)
    async with store.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    return Connected(
        org_id=org_id,
        generation=row.generation,
        state=row.state,
        connection=decoded(row.connection),
        policy=msgspec.json.decode(row.policy, type=Policy),
        verify_at=row.verify_at,
        reason=row.reason,
    )


def decoded(connection: bytes) -> Connection:
    """Return a connection as the store keeps it."""
    found: Connection = msgspec.json.decode(connection, type=Connection)
    return found


async def policy_of(store: Store, org_id: str, generation: int) -> Policy | None:
    """Return the policy of one generation, which never changes, or None where there is no such generation."""
    query = select(policies.c.policy).where(policies.c.org_id == org_id, policies.c.generation == generation)
    async with store.read() as connection:
        policy = (await connection.execute(query)).scalar_one_or_none()
    return None if policy is None else msgspec.json.decode(policy, type=Policy)


async def generations(connection: AsyncConnection, org_ids: Iterable[str]) -> dict[str, int]:
    """Return the present generation of those of the orgs that are in force, read in the caller's transaction.

    One that needs attention is: what was read of it before it was turned away still counts.
    """
    wanted = sorted(set(org_ids))
    found: dict[str, int] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        query = select(orgs.c.org_id, orgs.c.generation).where(
            orgs.c.org_id.in_(wanted[start : start + _AT_ONCE]), orgs.c.state.in_(IN_FORCE)
        )
        found.update((row.org_id, row.generation) for row in await connection.execute(query))
    return found


async def credential_of(store: Store, vault: Vault, credential_id: str, kind: type[C]) -> C | None:
    """Return a credential opened, or None where none bears the name.

    `kind` is what the connection needs. Raises VaultError where it cannot be opened, or is of another kind.
    """
    query = select(credentials.c.sealed).where(credentials.c.credential_id == credential_id)
    async with store.read() as connection:
        sealed = (await connection.execute(query)).scalar_one_or_none()
    if sealed is None:
        return None
    try:
        return msgspec.json.decode(vault.open(sealed, about=about_credential(credential_id)), type=kind)
    except msgspec.DecodeError:
        raise VaultError("contents_malformed") from None


def about_credential(credential_id: str) -> str:
    """Return what a sealed credential is bound to: its table, its column, its row."""
    return f"credentials/sealed/{credential_id}"
