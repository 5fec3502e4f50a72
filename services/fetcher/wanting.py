"""Which mailboxes a subscription is wanted for, found in the store, some at a time: exactly those that are read.

A mailbox that is not read any more loses its own; while its org needs attention it keeps what it has. They are Graph's:
an Exchange server is listened to in another way.
"""

from sqlalchemy import BigInteger, and_, case, exists, func, literal, select, true, update

from services.fetcher import plans
from services.fetcher.subscriptions import AT_ONCE, COLUMNS, KEY, MAILBOX, lock_both, promise, row_of, rows_of
from shared.connections import CONNECTED, GRAPH, IN_FORCE
from shared.contracts.values import Bucket, Instant
from shared.store import Store
from shared.tables import mailboxes, orgs, subscriptions


async def want(store: Store, now: Instant, *, limit: int) -> int:
    """Want a subscription for up to `limit` mailboxes that are read and have none; return how many.

    Each org has its share. They are written in one order, so that replicas that find the same do not wait in a circle.
    """
    place = func.row_number().over(partition_by=mailboxes.c.org_id, order_by=mailboxes.c.mailbox_id)
    lacking = (
        select(mailboxes.c.org_id, mailboxes.c.mailbox_id)
        .join(orgs, and_(orgs.c.org_id == mailboxes.c.org_id, orgs.c.generation == mailboxes.c.generation))
        .where(
            orgs.c.state == CONNECTED,
            orgs.c.kind == GRAPH,
            mailboxes.c.bucket == Bucket.ACTIVE,
            ~exists().where(MAILBOX),
        )
        .order_by(place, mailboxes.c.org_id)
        .limit(limit)
        .subquery()
    )
    chosen = select(*lacking.c, true(), literal(now, BigInteger()), literal(0)).order_by(*lacking.c)
    names = ["org_id", "mailbox_id", "wanted", "act_at", "failures"]
    statement = store.upsert(subscriptions).from_select(names, chosen).on_conflict_do_nothing()
    async with store.write() as connection:
        return max(0, (await connection.execute(statement)).rowcount)


async def revise(store: Store, now: Instant, *, nowhere: bool = False) -> int:
    """Take back what is wanted of mailboxes no longer read, want it again where they are; return how many, a page.

    With `nowhere` to send hints to, everything is taken back. One that still stands as it is wanted again is announced
    like a new one: what Microsoft said of it meanwhile was not believed.
    """
    read = exists().where(
        MAILBOX,
        mailboxes.c.bucket == Bucket.ACTIVE,
        orgs.c.org_id == subscriptions.c.org_id,
        orgs.c.state.in_(IN_FORCE),
        orgs.c.kind == GRAPH,
    )
    outdated = subscriptions.c.wanted.is_(true()) if nowhere else subscriptions.c.wanted != read
    async with store.read() as connection:
        found = await connection.execute(select(*COLUMNS).where(outdated).limit(AT_ONCE))
        keys = [(row.org_id, row.mailbox_id) for row in map(row_of, found)]
    if not keys:
        return 0
    changed = update(subscriptions).where(KEY.in_(keys), outdated)
    async with store.write() as connection:
        await lock_both(store, connection, keys)
        stands = and_(~subscriptions.c.wanted, subscriptions.c.subscription_id.is_not(None))
        reason = case((stands, plans.GAP), else_=subscriptions.c.reason)
        await connection.execute(changed.values(wanted=~subscriptions.c.wanted, act_at=now, reason=reason))
        rows = await rows_of(connection, keys)
        await promise(connection, {(row.org_id, row.mailbox_id): plans.hints_until(row, now) for row in rows}, now)
    return len(keys)


async def connected_orgs(store: Store) -> list[str]:
    """Return every org connected through Graph, by id."""
    query = select(orgs.c.org_id).where(orgs.c.state == CONNECTED, orgs.c.kind == GRAPH).order_by(orgs.c.org_id)
    async with store.read() as connection:
        return list((await connection.execute(query)).scalars())
