"""The groups in which an Exchange organisation's mailboxes are listened to, in the store: who is in which, whose it is.

A group is listened to by one replica at a time; a replica that dies is followed by another within a minute.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, delete, func, or_, select

from services.fetcher.mailboxes import lock
from services.fetcher.subscriptions import promise
from shared.connections import CONNECTED, EWS
from shared.contracts.values import Bucket, Instant
from shared.store import Store
from shared.tables import mailboxes, orgs, streams

SIZE: Final = 200  # subscriptions in one GetStreamingEvents
LEASE: Final = 60  # seconds


class Member(Struct, frozen=True):
    """A mailbox of a group."""

    mailbox_id: str
    address: str


class Group(Struct, frozen=True):
    """One group of an organisation: the `number`-th 200 of its mailboxes, by their ids."""

    org_id: str
    number: int


async def wanted(store: Store) -> list[Group]:
    """Return every group of every organisation connected through EWS."""
    here = and_(orgs.c.org_id == mailboxes.c.org_id, orgs.c.generation == mailboxes.c.generation)
    query = (
        select(mailboxes.c.org_id, func.count().label("size"))
        .join(orgs, here)
        .where(orgs.c.kind == EWS, orgs.c.state == CONNECTED, mailboxes.c.bucket == Bucket.ACTIVE)
        .group_by(mailboxes.c.org_id)
        .order_by(mailboxes.c.org_id)
    )
    async with store.read() as connection:
        sizes = [(row.org_id, row.size) for row in await connection.execute(query)]
    return [Group(org_id, number) for org_id, size in sizes for number in range(-(-size // SIZE))]


async def members(store: Store, group: Group) -> tuple[Member, ...]:
    """Return the mailboxes of a group. As mailboxes come and go neighbours move over; who is in two is heard twice."""
    query = (
        select(mailboxes.c.mailbox_id, mailboxes.c.address)
        .where(mailboxes.c.org_id == group.org_id, mailboxes.c.bucket == Bucket.ACTIVE)
        .order_by(mailboxes.c.mailbox_id)
        .limit(SIZE)
        .offset(group.number * SIZE)
    )
    async with store.read() as connection:
        return tuple(Member(row.mailbox_id, row.address) for row in await connection.execute(query))


async def claim(store: Store, group: Group, replica: str, *, now: Instant) -> bool:
    """Take a group, or keep it, for LEASE seconds; False where another replica has it."""
    values = {"org_id": group.org_id, "number": group.number, "holder": replica, "until": now + LEASE}
    insert = store.upsert(streams).values(values)
    free = or_(streams.c.until <= now, streams.c.holder == replica)
    taken = insert.on_conflict_do_update(
        index_elements=["org_id", "number"], set_={"holder": replica, "until": now + LEASE}, where=free
    )
    async with store.write() as connection:
        await connection.execute(taken)
        query = select(streams.c.holder).where(_here(group))
        return (await connection.execute(query)).scalar_one_or_none() == replica


async def release(store: Store, group: Group, replica: str) -> None:
    """Let a group go."""
    async with store.write() as connection:
        await connection.execute(delete(streams).where(_here(group), streams.c.holder == replica))


async def promise_hints(
    store: Store, group: Group, mailbox_ids: Sequence[str], *, until: Instant | None, now: Instant
) -> None:
    """Let mailboxes count on hints up to `until`; with None they cannot any more, and are due a second later."""
    keys = [(group.org_id, mailbox_id) for mailbox_id in sorted(mailbox_ids)]
    if not keys:
        return
    async with store.write() as connection:
        await lock(store, connection, keys)
        # a reading of this very second may have begun before the last that was heard
        await promise(connection, dict.fromkeys(keys, until), now + 1)


def _here(group: Group) -> ColumnElement[bool]:
    return and_(streams.c.org_id == group.org_id, streams.c.number == group.number)
