"""Deletes what is held of one mailbox, for good: what remains is a stub with its id, so that it is never read again.

The erasure itself needs nobody's consent: Microsoft is asked to send no more, and if it refuses, asked again later.
"""

import asyncio
from typing import Final

from msgspec.structs import replace
from sqlalchemy import null, select, update

from services.fetcher import due, plans, promises, subscriptions
from services.fetcher.context import Context, unreadable
from services.fetcher.directory import ERASED
from services.fetcher.due import Claim, Lease, Row
from services.fetcher.subscriptions import COLUMNS, Change, row_of
from shared import clock, connections
from shared.broker import Delivery, Done
from shared.connections import IN_FORCE, Connected
from shared.contracts.messages import MailboxErase
from shared.contracts.values import Bucket, Kind
from shared.errors import Retry
from shared.graph import GraphError
from shared.identity import IdentityError
from shared.tables import mailboxes
from shared.tables import subscriptions as table

PATIENCE: Final = 10.0  # seconds that Microsoft has


async def erase(context: Context, message: MailboxErase, delivery: Delivery) -> Done:
    """Take the mailbox from whoever reads it, tell consumers that it is gone, and keep nothing but its id.

    An erasure holds whatever generation has come since. Raises Retry where the org's generation is still to come, or
    has just changed: then consumers must be told under the new one.
    """
    org_id, mailbox_id = message.org_id, message.mailbox_id
    org = await context.tenants.org(org_id, at_least=message.generation)
    if org is None or org.state not in IN_FORCE:  # all of it goes, or has gone
        return Done()
    if org.generation < message.generation:
        raise Retry("generation_ahead", after=2.0)
    now = clock.now()
    await _stub(context, org, mailbox_id)
    lease = Lease(generation=org.generation, message_id=delivery.message_id)
    wish = Claim(lease=lease, since=now, now=now, seconds=context.settings.lease_seconds)
    row = await context.mailboxes.change(org_id, mailbox_id, lambda found: due.leave(found, wish))
    if not isinstance(row, Row):  # purged in between
        return Done()
    nameless = replace(row, address=mailbox_id.ljust(3, "-"), time_zone="")  # an address has three characters at least
    gone = unreadable(nameless, generation=org.generation, as_of=now, bucket=Bucket.EXCLUDED, reason=ERASED)
    await _unsubscribe(context, org, mailbox_id)

    async def forget() -> None:
        await _forget(context, org_id, mailbox_id)
        present = await connections.connected(context.store, org_id)
        if present is not None and present.state in IN_FORCE and present.generation != org.generation:
            raise Retry("generation_changed", after=1.0, counted=False)

    return Done((gone,), forget)


async def _stub(context: Context, org: Connected, mailbox_id: str) -> None:
    """See that there is a row, so that a mailbox the directory shows only later is not read either."""
    stub = {
        "org_id": org.org_id,
        "mailbox_id": mailbox_id,
        "address": "",
        "kind": Kind.USER,
        "bucket": Bucket.EXCLUDED,
        "reason": ERASED,
        "generation": org.generation,
    }
    async with context.store.write() as connection:
        await connection.execute(context.store.upsert(mailboxes).values(stub).on_conflict_do_nothing())


async def _unsubscribe(context: Context, org: Connected, mailbox_id: str) -> None:
    """Want no subscription any more and delete it now, if Microsoft lets us; else keep_subscribed goes on trying."""
    here = table.c.org_id == org.org_id, table.c.mailbox_id == mailbox_id
    now = clock.now()
    async with context.store.write() as connection:
        unwanted = update(table).where(*here).values(wanted=False, act_at=now)
        found = (await connection.execute(unwanted.returning(*COLUMNS))).one_or_none()
    if found is None or found.subscription_id is None:
        return
    row = row_of(found)
    try:
        async with asyncio.timeout(PATIENCE):
            answers = await promises.deleted(context.tenants.client(org), [found.subscription_id])
    except (GraphError, IdentityError, TimeoutError):
        return
    if answers[found.subscription_id].status in plans.ENDED:
        await subscriptions.write(context.store, [Change(before=row, after=None)], now)


async def _forget(context: Context, org_id: str, mailbox_id: str) -> None:
    """Leave nothing in the row but whose it was, and its version, so that nothing older is ever shown."""
    nothing = (
        "lease_id", "lease_until", "started_ms", "waiting", "retry_at", "subscribed_until", "read_at",
        "read_generation", "due_at", "scope_run", "leaving_bucket", "leaving_reason", "sync_state",
        "working_hours",
    )  # fmt: skip
    blank = {"address": "", "time_zone": "", "dirty": False, "failures": 0}
    values = {name: null() for name in nothing} | blank | {"bucket": Bucket.EXCLUDED, "reason": ERASED}
    here = mailboxes.c.org_id == org_id, mailboxes.c.mailbox_id == mailbox_id
    async with context.store.write() as connection:
        await connection.execute(select(mailboxes.c.version).where(*here).with_for_update())
        await connection.execute(update(mailboxes).where(*here).values(values))
