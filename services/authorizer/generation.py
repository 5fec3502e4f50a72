"""Edge: a new generation of an org, and the erasing of what a stricter policy forbids, in one transaction.

The one place that writes what the publisher owns (decision 0010). It writes columns that it may not read.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, null, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.authorizer import audit, strictness
from services.authorizer.word import Word
from shared.contracts.policy import Policy
from shared.contracts.values import Instant
from shared.store import Store
from shared.tables import orgs, policies, timelines, updates

_UPDATED: Final = "availability.updated.v1"


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


async def put_in_force(store: Store, writing: AsyncConnection, row: Row[Any], *, policy: Policy, word: Word) -> None:
    """Put another policy in force for an org that has one, under the publication lock, and erase what it forbids."""
    old, generation = msgspec.json.decode(row.policy, type=Policy), row.generation + 1
    await raise_generation(writing, row.org_id, generation=generation, policy=policy, now=word.now)
    if strictness.stricter(old, policy):
        await erase(writing, row.org_id, generation)
    await note(store, writing, row, policy=policy, word=word)


async def note(store: Store, writing: AsyncConnection, row: Row[Any], *, policy: Policy, word: Word) -> None:
    """Write into the audit log which fields of a policy changed, never what they hold.

    `generation` is the one it is in force under, 0 where the org has yet to be connected.
    """
    old, in_force = msgspec.json.decode(row.policy, type=Policy), row.connected_at is not None
    details: dict[str, str | int | bool] = {
        "fields": " ".join(strictness.changed(old, policy)),
        "stricter": strictness.stricter(old, policy),
        "generation": row.generation + 1 if in_force else 0,
    }
    act = {"chain": row.org_id, "actor": word.actor, "action": "policy.changed"}
    await audit.append(store, writing, **act, details=details, now=word.now)


async def erase(writing: AsyncConnection, org_id: str, generation: int) -> None:
    """Hide what was read before, and delete the details and the updates that tell of it.

    Which rows hold details cannot be asked without the right to read them: all of the org's are written.
    """
    await writing.execute(update(orgs).where(orgs.c.org_id == org_id).values(shown_from=generation))
    await writing.execute(update(timelines).where(timelines.c.org_id == org_id).values(events=null()))
    await writing.execute(delete(updates).where(updates.c.org_id == org_id, updates.c.type == _UPDATED))
