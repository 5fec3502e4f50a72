"""Edge: an org leaves: its disconnection begun, what services answer, the end with its receipt.

Every step may be repeated after a crash. The org is unknown to everybody from the first step on; a new request to
connect it waits until the last.
"""

import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Table, delete, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.authorizer import audit, credentials, purging
from services.authorizer.purging import Purge
from services.authorizer.word import Word, ours
from shared import logs
from shared.connections import DISCONNECTING
from shared.contracts.messages import OrgPurged
from shared.contracts.values import Instant
from shared.store import Store
from shared.tables import mailboxes, orgs, policies, purges, sign_ins, subscriptions, timelines, updates

_HELD: Final[Mapping[str, Table]] = {
    "mailboxes": mailboxes,
    "subscriptions": subscriptions,
    "timelines": timelines,
    "updates": updates,
}
_LAST_WORD: Final = "org.removed.v1"  # stays in the update log, so that a consumer which was away hears it


async def begin(store: Store, org_id: str, *, word: Word) -> str | None:
    """Disconnect an org, whatever its state; return the disconnection's id, also of one under way.

    None where there is no such org, or where it was connected anew after this word was given.
    """
    async with store.write() as writing:
        await store.publication_lock(writing)
        row = await _row(writing, org_id)
        if row is None:
            return None
        if row.state == DISCONNECTING:
            under_way = await latest(writing, org_id)
            return under_way.purge_id if under_way else None
        if word.is_late(row.requested_at):
            return None
        purge = Purge(
            purge_id=uuid.uuid4().hex,
            org_id=org_id,
            generation=row.generation + 1,
            actor=word.actor,
            started_at=word.said_at,
            counts=await held(writing, org_id),
        )
        await _begin(store, writing, purge, word=word)
        return purge.purge_id


async def _begin(store: Store, writing: AsyncConnection, purge: Purge, *, word: Word) -> None:
    away = {"verify_at": None, "enumerate_at": None, "reason": None, "sentence": None}
    stopped = update(orgs).where(orgs.c.org_id == purge.org_id)
    await writing.execute(stopped.values(state=DISCONNECTING, generation=purge.generation, **away))
    encoded = {"done": "[]", "counts": msgspec.json.encode(purge.counts)}
    await writing.execute(purges.insert().values(**{**msgspec.structs.asdict(purge), **encoded}))
    act = {"chain": purge.org_id, "actor": word.actor, "action": "org.disconnected"}
    await audit.append(store, writing, **act, details={"generation": purge.generation}, now=word.now)


async def held(connection: AsyncConnection, org_id: str) -> dict[str, int]:
    """Count the rows there are of an org by kind, the last word to consumers left out; no content is read."""
    found = {}
    for kind, table in _HELD.items():
        query = select(func.count()).select_from(table).where(table.c.org_id == org_id)
        if table is updates:
            query = query.where(updates.c.type != _LAST_WORD)
        found[kind] = (await connection.execute(query)).scalar_one()
    return found


async def under_way(store: Store) -> tuple[Purge, ...]:
    """Return the disconnections that have not ended, the oldest first."""
    query = select(purges).where(purges.c.ended_at.is_(None)).order_by(purges.c.started_at)
    async with store.read() as reading:
        return tuple(decoded(row) for row in await reading.execute(query))


async def next_step(store: Store, purge: Purge, *, now: Instant) -> purging.Ask | purging.Wait | purging.Close:
    """Return what a disconnection needs now; what is left is counted once everybody says that nothing is."""
    left: dict[str, int] = {}
    if set(purge.done).issuperset(purging.SERVICES):
        async with store.read() as reading:
            left = await held(reading, purge.org_id)
    return purging.step(purge, left=left, now=now)


async def claim(store: Store, purge: Purge, *, now: Instant) -> bool:
    """Take it on to ask the services this time; False where another process did, one answered since, or it ended."""
    seen = purges.c.asked_at.is_(None) if purge.asked_at is None else purges.c.asked_at == purge.asked_at
    mine = (purges.c.purge_id == purge.purge_id, purges.c.ended_at.is_(None), purges.c.done == _done(purge), seen)
    async with store.write() as writing:
        return bool((await writing.execute(update(purges).where(*mine).values(asked_at=now))).rowcount)


async def answer(store: Store, told: OrgPurged) -> bool:
    """Remember what a service answered; False where no such disconnection of the org is under way (any more)."""
    async with store.write() as writing:
        mine = (purges.c.purge_id == told.purge_id, purges.c.org_id == told.org_id, purges.c.ended_at.is_(None))
        row = (await writing.execute(select(purges).where(*mine).with_for_update())).one_or_none()
        if row is None:
            return False
        await _store(writing, purging.answered(decoded(row), told.service, told.counts))
        return True


async def close(store: Store, purge: Purge, *, now: Instant) -> str:
    """Delete what is the authorizer's own, clean up what the database freed, write the receipt; return its hash.

    In this order, so that what the first deleted is cleaned up too. A crash in between repeats what is left to do.
    """
    await _forget(store, purge)
    compacted = await _compacted(store)
    async with store.write() as writing:
        await store.publication_lock(writing)
        row = await _locked(writing, purge)
        if row.ended_at is not None:  # another process was quicker
            return str(row.audit_hash)
        counts = {**purging.totals(decoded(row).counts), "compacted": int(compacted)}
        word = ours(now)
        act = {"chain": purge.org_id, "actor": word.actor, "action": "org.purged"}
        sealed = await audit.append(store, writing, **act, details=counts, now=now)
        ended = {"counts": msgspec.json.encode(counts), "ended_at": now, "audit_hash": sealed}
        await writing.execute(update(purges).where(purges.c.purge_id == purge.purge_id).values(**ended))
        return sealed


async def _compacted(store: Store) -> bool:
    """Clean up what the database freed. Where that fails, for want of space say, the receipt tells so."""
    try:
        return await store.compact()
    except DBAPIError as error:
        logs.get("authorizer").warning("purge.not_compacted", **logs.failure(error))
        return False


async def _forget(store: Store, purge: Purge) -> None:
    """Delete credentials, policies and the org, and remember in the same transaction how many there were."""
    async with store.write() as writing:
        await store.publication_lock(writing)
        row = await _locked(writing, purge)
        if row.ended_at is not None:
            return
        gone = {
            "credentials": await credentials.forget_own(writing, purge.org_id),
            "policies": (await writing.execute(delete(policies).where(policies.c.org_id == purge.org_id))).rowcount,
        }
        await writing.execute(delete(orgs).where(orgs.c.org_id == purge.org_id))
        # what its admins and programs had in hand, sealed passwords among it; their sessions show the receipt
        await writing.execute(delete(sign_ins).where(sign_ins.c.org_id == purge.org_id))
        kept = decoded(row)
        await _store(writing, msgspec.structs.replace(kept, counts=purging.larger(kept.counts, gone)))


async def _store(writing: AsyncConnection, purge: Purge) -> None:
    told = {"done": _done(purge), "counts": msgspec.json.encode(purge.counts)}
    here = update(purges).where(purges.c.purge_id == purge.purge_id)
    await writing.execute(here.values(**told, asked_at=purge.asked_at))


def _done(purge: Purge) -> str:
    return msgspec.json.encode(purge.done).decode()


async def latest(connection: AsyncConnection, org_id: str) -> Purge | None:
    """Return an org's last disconnection, None where it was never disconnected."""
    query = select(purges).where(purges.c.org_id == org_id).order_by(purges.c.generation.desc()).limit(1)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else decoded(row)


async def _row(writing: AsyncConnection, org_id: str) -> Row[Any] | None:
    return (await writing.execute(select(orgs).where(orgs.c.org_id == org_id).with_for_update())).one_or_none()


async def _locked(writing: AsyncConnection, purge: Purge) -> Row[Any]:
    mine = purges.c.purge_id == purge.purge_id
    return (await writing.execute(select(purges).where(mine).with_for_update())).one()


def decoded(row: Row[Any]) -> Purge:
    """Return a row of purges as it is written."""
    told = {
        "done": tuple(msgspec.json.decode(row.done, type=list[str])),
        "counts": msgspec.json.decode(row.counts, type=dict[str, int]),
    }
    return Purge(**{**row._asdict(), **told})
