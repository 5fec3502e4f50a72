"""Edge: which connected orgs are due for a search for their mailboxes; claimed, published, then remembered.

A crash between publishing and remembering repeats the search once the claim has run out; nothing is forgotten.
"""

from collections.abc import Collection
from typing import Final

from msgspec import Struct
from sqlalchemy import and_, or_, select, update

from services.authorizer.requests import REQUESTED
from shared.connections import CONNECTED, IN_FORCE
from shared.contracts.values import Instant
from shared.store import Store
from shared.tables import orgs

LEASE: Final = 60  # seconds; after that another process may ask for the search


class Due(Struct, frozen=True, kw_only=True):
    """An org to search, under its present generation. `until` is when this process's claim runs out."""

    org_id: str
    generation: int
    until: Instant


async def claim(store: Store, *, now: Instant, limit: int = 100) -> tuple[Due, ...]:
    """Take up to `limit` orgs that are due, no other process being able to take them for a while."""
    due = (
        select(orgs.c.org_id, orgs.c.generation)
        .where(orgs.c.state == CONNECTED, orgs.c.enumerate_at <= now)
        .order_by(orgs.c.enumerate_at)
        .limit(limit)
    )
    async with store.read() as reading:
        if (await reading.execute(due.limit(1))).first() is None:
            return ()
    async with store.write() as writing:
        rows = (await writing.execute(due.with_for_update(skip_locked=True))).all()
        taken = orgs.c.org_id.in_([row.org_id for row in rows])
        await writing.execute(update(orgs).where(taken).values(enumerate_at=now + LEASE))
    return tuple(Due(org_id=row.org_id, generation=row.generation, until=now + LEASE) for row in rows)


async def remember(store: Store, asked: Collection[Due], *, next_at: Instant) -> None:
    """Set when the orgs are searched next, unless another search was asked for since the claim."""
    async with store.write() as writing:
        for due in asked:
            mine = (orgs.c.org_id == due.org_id, orgs.c.enumerate_at == due.until)
            await writing.execute(update(orgs).where(*mine).values(enumerate_at=next_at))


async def everything(store: Store, *, now: Instant) -> None:
    """Make every connected org due, and every verification begun: neither queue nor claims outlived the process."""
    async with store.write() as writing:
        await writing.execute(update(orgs).where(orgs.c.state == CONNECTED).values(enumerate_at=now))
        begun = or_(orgs.c.state == REQUESTED, and_(orgs.c.state.in_(IN_FORCE), orgs.c.asked.is_not(None)))
        await writing.execute(update(orgs).where(begun).values(verify_at=now))


async def watch(store: Store, *, verify_at: Instant) -> None:
    """Set when the orgs are verified that an earlier release connected: it verified them once."""
    unwatched = (orgs.c.state == CONNECTED, orgs.c.verify_at.is_(None))
    async with store.write() as writing:
        await writing.execute(update(orgs).where(*unwatched).values(verify_at=verify_at))
