"""Edge: which orgs wait for verification, and what becomes of one: accepted, refused, in need of attention, or put off.

A verdict counts only for what was claimed: if the org was asked for again meanwhile, it changes nothing.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.authorizer import audit
from services.authorizer.generation import erase, raise_generation
from services.authorizer.requests import REFUSED, SOON
from services.authorizer.sentences import FINAL, sentence
from services.authorizer.settled import kind_of, same
from shared.connections import ATTENTION, CONNECTED, IN_FORCE, decoded
from shared.contracts.messages import Connection
from shared.contracts.policy import Policy
from shared.contracts.values import Instant
from shared.store import Store
from shared.tables import orgs

LEASE: Final = SOON  # seconds; after that another process may take the org up
TAKEN: Final = "tenant_taken"
KEPT: Final = "kept"  # the connection in force stays; its change was refused


class Claim(Struct, frozen=True, kw_only=True):
    """An org taken up for verification: the connection asked for, under which policy, and until when it is ours.

    A connection in force keeps what was settled of it: it is not looked for again.
    """

    org_id: str
    connection: Connection
    policy: Policy
    until: Instant


class Times(Struct, frozen=True, kw_only=True):
    """When the verdict is given, and when the org is verified next, by how it then stands; None: not by itself."""

    now: Instant
    connected: Instant
    attention: Instant
    refused: Instant | None


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
    present = decoded(row.connection)
    wanted = present if row.asked is None else decoded(row.asked)
    return Claim(
        org_id=row.org_id,
        connection=present if same(wanted, present) else wanted,
        policy=msgspec.json.decode(row.policy, type=Policy),
        until=until,
    )


async def accept(
    store: Store, claimed: Claim, *, tenant_id: str, times: Times, settled: Connection | None = None
) -> str:
    """Act on a good verification; return "connected", "restored", "unchanged", "superseded" or "tenant_taken".

    `settled` is the connection with what its verification settled. The publication lock makes one of two orgs the first
    to hold a tenant, and the other one see it.
    """
    connection = claimed.connection if settled is None else settled
    async with store.write() as writing:
        await store.publication_lock(writing)
        row = await _row(writing, claimed)
        if row is None:
            return "superseded"
        if await _taken(writing, claimed, tenant_id):
            return TAKEN
        known = {"tenant_id": tenant_id, "asked": None, "reason": None, "sentence": None}
        here = update(orgs).where(orgs.c.org_id == claimed.org_id)
        await writing.execute(here.values(state=CONNECTED, verify_at=times.connected, **known))
        if not _is_present(row, claimed):
            encoded, kind = msgspec.json.encode(connection), kind_of(connection)
            await writing.execute(here.values(connection=encoded, kind=kind, connected_at=times.now))
            await _first_generation(store, writing, row, tenant_id=tenant_id, now=times.now)
            return CONNECTED
        if row.state == CONNECTED:
            return "unchanged"
        await writing.execute(here.values(enumerate_at=times.now))
        restored = {"generation": row.generation}
        await _note(store, writing, claimed.org_id, action="org.restored", details=restored, now=times.now)
        return "restored"


async def _first_generation(
    store: Store, writing: AsyncConnection, row: Row[Any], *, tenant_id: str, now: Instant
) -> None:
    """Begin the first generation of a connection; what was read of another tenant is not shown under it."""
    policy, generation = msgspec.json.decode(row.policy, type=Policy), row.generation + 1
    await raise_generation(writing, row.org_id, generation=generation, policy=policy, now=now)
    if row.state in IN_FORCE and row.tenant_id != tenant_id:
        await erase(writing, row.org_id, generation)
    await _note(store, writing, row.org_id, action="org.connected", details={"generation": generation}, now=now)


async def refuse(store: Store, claimed: Claim, *, reason: str, code: int = 0, times: Times) -> str:
    """Record why a connection is refused; return "refused", "attention", "kept" or "superseded".

    An org whose connection in force is refused needs attention: it keeps connection and policy, and nothing is read
    until it is good times. One whose change was refused goes on under the one in force.
    """
    async with store.write() as writing:
        await store.publication_lock(writing)
        row = await _row(writing, claimed)
        if row is None:
            return "superseded"
        told = {"reason": reason, "sentence": sentence(reason, code=code), "asked": None}
        here = update(orgs).where(orgs.c.org_id == claimed.org_id)
        outcome = _outcome(row, claimed)
        verify_at = _again(row, outcome, reason=reason, times=times)
        state = row.state if outcome == KEPT else outcome
        await writing.execute(here.values(state=state, verify_at=verify_at, **told))
        action = "org.attention" if outcome == ATTENTION else "org.refused"
        await _note(store, writing, claimed.org_id, action=action, details={"reason": reason}, now=times.now)
        return outcome


def _outcome(row: Row[Any], claimed: Claim) -> str:
    if row.state not in IN_FORCE:
        return REFUSED
    return ATTENTION if _is_present(row, claimed) else KEPT


def _again(row: Row[Any], outcome: str, *, reason: str, times: Times) -> Instant | None:
    """Return when a refused org is verified next; None: not by itself, because a sign-in repeated locks the account.

    An Exchange org that needed attention already may have a wrong password in force, which nobody remembers by now.
    """
    if outcome == KEPT:
        unsure = row.state == ATTENTION and row.kind == "ews"
        return times.connected if row.state == CONNECTED else None if unsure else times.attention
    if reason in FINAL:
        return None
    return times.refused if outcome == REFUSED else times.attention


async def put_off(store: Store, claimed: Claim, *, reason: str, until: Instant) -> None:
    """Record that a verification could not be made yet, and when it is tried next."""
    async with store.write() as writing:
        if await _row(writing, claimed) is not None:
            waiting = {"verify_at": until, "reason": reason, "sentence": sentence(reason)}
            await writing.execute(update(orgs).where(orgs.c.org_id == claimed.org_id).values(**waiting))


def _is_present(row: Row[Any], claimed: Claim) -> bool:
    """Say whether it was the connection in force that was verified."""
    return row.state in IN_FORCE and same(decoded(row.connection), claimed.connection)


async def _row(writing: AsyncConnection, claimed: Claim) -> Row[Any] | None:
    """Return the org's row, locked, or None where the claim no longer holds: asked for again, run out, or gone.

    Two claims of one second run out together: the row must also still ask for what was claimed.
    """
    mine = (orgs.c.org_id == claimed.org_id, orgs.c.verify_at == claimed.until)
    row = (await writing.execute(select(orgs).where(*mine).with_for_update())).one_or_none()
    return row if row is not None and _claim(row, claimed.until) == claimed else None


async def _taken(writing: AsyncConnection, claimed: Claim, tenant_id: str) -> bool:
    """Say whether the tenant is another org's; an Exchange server may well serve several."""
    if kind_of(claimed.connection) == "ews":
        return False
    query = select(orgs.c.org_id).where(
        orgs.c.tenant_id == tenant_id, orgs.c.state.in_(IN_FORCE), orgs.c.org_id != claimed.org_id
    )
    return (await writing.execute(query.limit(1))).first() is not None


async def _note(  # noqa: PLR0913 -- as many parts as an entry has
    store: Store, writing: AsyncConnection, org_id: str, *, action: str, details: audit.Details, now: Instant
) -> None:
    """Write a verdict into the audit log, unless it is what was written last: a refusal repeated is told once."""
    if not await audit.told_last(writing, org_id, action=action, details=details):
        act = {"chain": org_id, "actor": audit.OURS, "action": action}
        await audit.append(store, writing, **act, details=details, now=now)
