"""`busyline resync` and `busyline allow-removal`: have mailboxes looked for and read now, and let many of them go."""

import asyncio
from typing import Final

import click
from sqlalchemy import select, update

from deploy.command.actors import actor_option, org_argument, record, yes_option
from deploy.command.context import console, opened_store
from deploy.command.erasing import named
from services.authorizer import orgs
from services.authorizer.orgs import OrgState
from services.fetcher import runs
from services.fetcher.mailboxes import lock
from shared import clock
from shared.connections import CONNECTED
from shared.contracts.values import DAY, Instant
from shared.store import Store
from shared.tables import enumerations, mailboxes
from shared.tables import orgs as organisations

PAGE: Final = 500  # rows in one transaction


@click.command()
@org_argument
@click.argument("mailbox", required=False)
@actor_option
def resync(org: str, mailbox: str | None, *, actor: str) -> None:
    """Look for the mailboxes of ORG now and read each of them; or read MAILBOX (its id or its address) alone.

    Nothing that is shown is taken away meanwhile. It needs none of this: what changed is found by itself.
    """

    async def work() -> None:
        async with opened_store() as store:
            await _connected(store, org)
            mailbox_id = None if mailbox is None else await named(store, org, mailbox)
            count = await make_due(store, org, mailbox_id=mailbox_id, now=clock.now())
            if mailbox_id is None:
                await enumerate_now(store, org, now=clock.now())
            elif not count:
                raise click.ClickException(f"that mailbox is not read: see `busyline mailboxes {org}`")
            await record(store, "org.resynced", actor=actor, chain=org, details={"mailboxes": count})
            console.print(f"{count} mailboxes are being read now. busyline status {org}", highlight=False)

    asyncio.run(work())


async def _connected(store: Store, org: str) -> OrgState:
    state = await orgs.org(store, org)
    if state is None or state.state != CONNECTED:
        raise click.ClickException(f"there is no connected org {org}" if state is None else f"{org} is {state.state}")
    return state


async def make_due(store: Store, org_id: str, *, mailbox_id: str | None, now: Instant) -> int:
    """Make every mailbox that is read at all due at `now`, or the one; return how many. A page is a transaction."""
    table, after, count = mailboxes.c, "", 0
    query = select(table.mailbox_id).where(table.org_id == org_id, table.due_at.is_not(None))
    query = query.order_by(table.mailbox_id).limit(PAGE)
    if mailbox_id is not None:
        query = query.where(table.mailbox_id == mailbox_id)
    while True:
        async with store.write() as writing:
            ids = (await writing.execute(query.where(table.mailbox_id > after))).scalars().all()
            if not ids:
                return count
            await lock(store, writing, [(org_id, one) for one in ids])
            mine = (table.org_id == org_id, table.mailbox_id.in_(ids), table.due_at.is_not(None))
            count += (await writing.execute(update(mailboxes).where(*mine).values(due_at=now))).rowcount
        after = ids[-1]


async def enumerate_now(store: Store, org_id: str, *, now: Instant) -> None:
    """Have an org's mailboxes looked for by the running authorizer within a second."""
    mine = (organisations.c.org_id == org_id, organisations.c.state == CONNECTED)
    async with store.write() as writing:
        await writing.execute(update(organisations).where(*mine).values(enumerate_at=now))


@click.command("allow-removal")
@org_argument
@actor_option
@yes_option
def allow_removal(org: str, *, actor: str, yes: bool) -> None:
    """Let the mailboxes of ORG go whose removal is held back, because so many at once may be a mistake.

    The directory is searched again; what has left it by then goes, however many. This holds for a day.
    """

    async def work() -> None:
        async with opened_store() as store:
            await _connected(store, org)
            held, of = await held_back(store, org)
            if not held:
                raise click.ClickException(f"no removal is held back for {org}")
            if not yes:
                click.confirm(f"Let {held} of {of} mailboxes of {org} go?", abort=True)
            now = clock.now()
            await runs.allow_removal(store, org, until=now + DAY)
            await record(store, "removal.allowed", actor=actor, chain=org, details={"held": held, "held_of": of})
            await enumerate_now(store, org, now=now)
            console.print("Allowed for a day; the directory is being searched now.")

    asyncio.run(work())


async def held_back(store: Store, org_id: str) -> tuple[int, int]:
    """Return how many mailboxes would be removed, of how many; (0, 0) where none is held back."""
    query = select(enumerations.c.held, enumerations.c.held_of).where(enumerations.c.org_id == org_id)
    async with store.read() as reading:
        row = (await reading.execute(query)).one_or_none()
    return (0, 0) if row is None else (row.held or 0, row.held_of or 0)
