"""Edge: how an org stands, and the acts upon orgs and credentials by the names that the command line knows them by."""

from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Row, select

from services.authorizer import leaving, requests
from services.authorizer.credentials import (
    LONGEST_PREFIX,
    credential_name,
    forget_unused,
    open_all,
    put_credential,
    reseal,
)
from services.authorizer.receipts import Receipt, receipt, receipts
from services.authorizer.requests import REFUSED, REQUESTED
from services.authorizer.word import here
from shared.connections import IN_FORCE, decoded
from shared.contracts.messages import Connection
from shared.contracts.policy import Policy
from shared.contracts.values import Instant
from shared.store import Store
from shared.tables import orgs

__all__ = [
    "LONGEST_PREFIX",
    "REFUSED",
    "REQUESTED",
    "OrgState",
    "Receipt",
    "all_orgs",
    "change_policy",
    "credential_name",
    "disconnect",
    "forget_unused",
    "open_all",
    "org",
    "put_credential",
    "receipt",
    "receipts",
    "request",
    "reseal",
]

OPERATOR = "operator"


class OrgState(Struct, frozen=True, kw_only=True):
    """An org as it stands. `pending`: a verification is still to come, and the verdict below is not the last word.

    `reason` and `sentence` say what the admin must do, or what is waited for, also where an org stays connected.
    """

    org_id: str
    generation: int
    state: str
    pending: bool
    connection: Connection
    tenant_id: str
    policy: Policy
    reason: str | None = None
    sentence: str | None = None
    connected_at: Instant | None = None
    enumerate_at: Instant | None = None


async def request(  # noqa: PLR0913 -- the whole request, by whom
    store: Store, *, org_id: str, connection: Connection, policy: Policy, now: Instant, actor: str = OPERATOR
) -> bool:
    """Ask for an org to be connected, from here and now; False where a later word counts already.

    Raises Retry("purge_under_way") while it is disconnected.
    """
    return await requests.connect(store, org_id, connection=connection, policy=policy, word=here(actor, now))


async def change_policy(store: Store, org_id: str, policy: Policy, *, actor: str, now: Instant) -> bool:
    """Put another policy in force, from here and now; False where a later word counts already. Raises Retry."""
    return await requests.change_policy(store, org_id, policy, word=here(actor, now))


async def disconnect(store: Store, org_id: str, *, actor: str, now: Instant) -> str | None:
    """Disconnect an org, from here and now; return the disconnection's id, None where there is no such org."""
    return await leaving.begin(store, org_id, word=here(actor, now))


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
        pending=row.state == REQUESTED or (row.state in IN_FORCE and row.asked is not None),
        connection=decoded(row.connection),
        tenant_id=row.tenant_id,
        policy=msgspec.json.decode(row.policy, type=Policy),
        reason=row.reason,
        sentence=row.sentence,
        connected_at=row.connected_at,
        enumerate_at=row.enumerate_at,
    )
