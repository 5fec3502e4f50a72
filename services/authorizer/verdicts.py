"""Edge: which orgs wait for verification, and what becomes of one: accepted, refused, or put off.

A verdict counts only for what was claimed: if the org was asked for again meanwhile, it changes nothing.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.authorizer.orgs import REFUSED, raise_generation
from services.authorizer.sentences import sentence
from shared.connections import CONNECTED
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.contracts.values import Instant
from shared.store import Store
from shared.tables import orgs

LEASE: Final = 120  # seconds; after that another process may take the org up
TAKEN: Final = "tenant_taken"


class Claim(Struct, frozen=True, kw_only=True):
    """An org taken up for verification: the connection asked for, under which policy, and until when it is ours."""

    org_id: str
    connection: GraphConnection
    policy: Policy
    until: Instant


async def claim(store: Store, *, now: Instant, limit: int) -> tuple[Claim, ...]:
    """Take up to `limit` orgs whose verification is due, no other process being able to take them for a while."""
    due = select(orgs).where(orgs.c.verify_at <= now).order_by(orgs.c.verify_at).limit(limit)
    async with store.read() as reading:
        if (await reading.execute(due.with_only_columns(orgs.c.org_id).limit(1))).first() is None:
            return ()
    async with store.write() as writing:
        rows = (await writing.execute(due.with_for_update(skip_locked=True))).all()
        await writing.execute(
            update(orgs).where(orgs.c.org_id.in_([row.org_id for row in rows])).values(verify_at=now + LEASE)
        )
    return tuple(_claim(row, now + LEASE) for row in rows)


def _claim(row: Row[Any], until: Instant) -> Claim:
    wanted = row.connection if row.asked is None else row.asked
    return Claim(
        org_id=row.org_id,
        connection=msgspec.json.decode(wanted, type=GraphConnection),
        policy=msgspec.json.decode(row.policy, type=Policy),
        until=until,
    )


async def accept(store: Store, claimed: Claim, *, tenant_id: str, now: Instant) -> str:
    """Put a verified connection in force; return "connected", "unchanged", "superseded" or "tenant_taken".

    The publication lock makes one of two orgs the first to hold a tenant, and the other one see it.
    """
    async with store.write() as writing:
        await store.publication_lock(writing)
        row = await _row(writing, claimed)
        if row is None:
            return "superseded"
        if await _taken(writing, tenant_id, claimed.org_id):
            return TAKEN
        settled = {"tenant_id": tenant_id, "asked": None, "verify_at": None, "reason": None, "sentence": None}
        here = update(orgs).where(orgs.c.org_id == claimed.org_id)
        if row.state == CONNECTED and row.asked is None:
            await writing.execute(here.values(**settled))
            return "unchanged"
        connection = msgspec.json.encode(claimed.connection)
        await writing.execute(here.values(state=CONNECTED, connection=connection, connected_at=now, **settled))
        policy = msgspec.json.decode(row.policy, type=Policy)
        await raise_generation(writing, claimed.org_id, generation=row.generation + 1, policy=policy, now=now)
        return CONNECTED


async def refuse(store: Store, claimed: Claim, *, reason: str, code: int = 0, again_at: Instant | None) -> None:
    """Record why a connection is refused. An org connected under another one stays connected under that.

    `again_at`: when it is tried once more by itself; a change of connection that was refused is dropped instead.
    """
    async with store.write() as writing:
        row = await _row(writing, claimed)
        if row is None:
            return
        change_dropped = row.asked is not None
        await writing.execute(
            update(orgs)
            .where(orgs.c.org_id == claimed.org_id)
            .values(
                state=CONNECTED if row.state == CONNECTED else REFUSED,
                asked=None,
                verify_at=None if change_dropped else again_at,
                reason=reason,
                sentence=sentence(reason, code=code),
            )
        )


async def put_off(store: Store, claimed: Claim, *, reason: str, until: Instant) -> None:
    """Record that a verification could not be made yet, and when it is tried next."""
    async with store.write() as writing:
        if await _row(writing, claimed) is not None:
            waiting = {"verify_at": until, "reason": reason, "sentence": sentence(reason)}
            await writing.execute(update(orgs).where(orgs.c.org_id == claimed.org_id).values(**waiting))


async def _row(writing: AsyncConnection, claimed: Claim) -> Row[Any] | None:
    """Return the org's row, locked, or None where the claim no longer holds: asked for again, run out, or gone."""
    mine = (orgs.c.org_id == claimed.org_id, orgs.c.verify_at == claimed.until)
    return (await writing.execute(select(orgs).where(*mine).with_for_update())).one_or_none()


async def _taken(writing: AsyncConnection, tenant_id: str, org_id: str) -> bool:
    query = select(orgs.c.org_id).where(
        orgs.c.tenant_id == tenant_id, orgs.c.state == CONNECTED, orgs.c.org_id != org_id
    )
    return (await writing.execute(query.limit(1))).first() is not None
