"""Edge: has mailboxes read again, one or all, by asking the fetcher over the broker: its rows are its own to write.

A whole org's readings are spread over time, so that they keep nobody else's waiting. Nothing shown is taken away.
"""

from typing import Any, Final

from sqlalchemy import Select, and_, select, update

from shared.broker import Broker, Outgoing
from shared.connections import CONNECTED, EWS
from shared.contracts.messages import MailboxRead
from shared.contracts.values import Bucket, Instant
from shared.store import Store
from shared.tables import mailboxes, orgs

READ: Final = (Bucket.ACTIVE, Bucket.FAILING, Bucket.DENIED)  # consumers know of those: others the search finds
_BUCKETS: Final = [bucket.value for bucket in READ]
PAGE: Final = 500  # readings asked for at a time
SPREAD: Final = 15.0  # seconds between two such pages: about what one fetcher reads in them


async def one(store: Store, broker: Broker, org_id: str, mailbox_id: str, *, now: Instant) -> bool:
    """Have one mailbox read at once, ahead of all that waits; False where it is not one that is read, or nobody's."""
    query = _chosen(org_id).where(mailboxes.c.mailbox_id == mailbox_id)
    async with store.read() as reading:
        row = (await reading.execute(query)).one_or_none()
    if row is None:
        return False
    job = MailboxRead(org_id=org_id, generation=row.generation, mailbox_id=mailbox_id, since=now, live=True)
    await broker.publish([job])
    return True


async def everything(store: Store, broker: Broker, org_id: str, *, now: Instant) -> int:
    """Have the org's mailboxes looked for now, and each read that is read at all; return how many those are.

    One that is read meanwhile anyway is not read twice: its reading answers.
    """
    query, after, count = _chosen(org_id).order_by(mailboxes.c.mailbox_id).limit(PAGE), "", 0
    while True:
        async with store.read() as reading:
            rows = (await reading.execute(query.where(mailboxes.c.mailbox_id > after))).all()
        if not rows:
            break
        delay = SPREAD * (count // PAGE)
        jobs = [
            MailboxRead(
                org_id=org_id,
                generation=row.generation,
                mailbox_id=row.mailbox_id,
                since=now,
                exchange=row.kind == EWS,
            )
            for row in rows
        ]
        await broker.publish([Outgoing(job, delay=delay) for job in jobs])
        after, count = rows[-1].mailbox_id, count + len(rows)
    await search(store, org_id, now=now)
    return count


async def search(store: Store, org_id: str, *, now: Instant) -> bool:
    """Have an org's mailboxes looked for within a second; False where it is not connected."""
    mine = (orgs.c.org_id == org_id, orgs.c.state == CONNECTED)
    async with store.write() as writing:
        return bool((await writing.execute(update(orgs).where(*mine).values(enumerate_at=now))).rowcount)


def _chosen(org_id: str) -> Select[Any]:
    """Choose the mailboxes that are read, as the org's present generation has found them."""
    mine = and_(orgs.c.org_id == mailboxes.c.org_id, orgs.c.generation == mailboxes.c.generation)
    return (
        select(mailboxes.c.mailbox_id, orgs.c.generation, orgs.c.kind)
        .join(orgs, mine)
        .where(orgs.c.org_id == org_id, orgs.c.state == CONNECTED, mailboxes.c.bucket.in_(_BUCKETS))
    )
