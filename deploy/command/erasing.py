"""`busyline erase`: delete all that is held of one mailbox, tell consumers to drop it, and never read it again."""

import asyncio
from typing import Any, Final

import click
from msgspec import Struct
from sqlalchemy import func, or_, select

from deploy.command.actors import actor_option, org_argument, ready, record, yes_option
from deploy.command.context import console, opened_broker, opened_store
from services.authorizer import orgs
from shared import clock
from shared.connections import IN_FORCE
from shared.contracts.messages import MailboxErase
from shared.contracts.values import Bucket
from shared.store import Store
from shared.tables import mailboxes, subscriptions, timelines, updates

PATIENCE: Final = 120  # seconds
ERASED: Final = "erased"
_UPDATED: Final = "availability.updated.v1"


class Held(Struct, frozen=True, kw_only=True):
    """What is held of a mailbox. `erased`: its row is a stub that is never read; the counts are of rows."""

    mailbox_id: str
    erased: bool
    timelines: int
    updates: int
    subscriptions: int

    @property
    def gone(self) -> bool:
        """Say whether nothing but the stub is left."""
        return self.erased and not (self.timelines or self.updates or self.subscriptions)


@click.command()
@org_argument
@click.argument("mailbox")
@actor_option
@yes_option
def erase(org: str, mailbox: str, *, actor: str, yes: bool) -> None:
    """Erase MAILBOX (its id or its address) of ORG: only its id is kept, so that it is never read again.

    The running fetcher is asked over the broker; consumers are told to drop what they hold.
    """
    asyncio.run(_erase(org, mailbox, actor=actor, yes=yes))


async def _erase(org: str, mailbox: str, *, actor: str, yes: bool) -> None:
    async with opened_broker("to erase a mailbox while it runs") as broker, opened_store() as store:
        state = await orgs.org(store, org)
        if state is None or state.state not in IN_FORCE:
            raise click.ClickException(f"there is no connected org {org}")
        before = await held(store, org, await named(store, org, mailbox))
        if before.gone:
            console.print("It is erased already.")
            return
        if not yes:
            click.confirm(f"Erase all that is held of mailbox {before.mailbox_id}, for good?", abort=True)
        await ready(store)
        asked = MailboxErase(org_id=org, generation=state.generation, mailbox_id=before.mailbox_id)
        await broker.publish([asked])
        await record(store, "mailbox.erased", actor=actor, chain=org)
        _show(before, await _waited(store, org, before.mailbox_id))


async def named(store: Store, org_id: str, mailbox: str) -> str:
    """Return the id of the one mailbox of that id or address. Raises ClickException where there is none, or several."""
    table = mailboxes.c
    query = select(table.mailbox_id).where(
        table.org_id == org_id, or_(table.mailbox_id == mailbox, table.address == mailbox.lower())
    )
    async with store.read() as reading:
        found = (await reading.execute(query.limit(2))).scalars().all()
    if not found:
        raise click.ClickException(f"{org_id} has no mailbox of that id or address")
    if len(found) > 1:
        raise click.ClickException("several mailboxes bear that address: give the id, see `busyline mailboxes`")
    return str(found[0])


async def held(store: Store, org_id: str, mailbox_id: str) -> Held:
    """Return what is held of a mailbox; what tells consumers to drop it does not count."""

    async def count(table: Any, *also: Any) -> int:
        mine = (table.c.org_id == org_id, table.c.mailbox_id == mailbox_id, *also)
        async with store.read() as reading:
            return int((await reading.execute(select(func.count()).select_from(table).where(*mine))).scalar_one())

    stub = (mailboxes.c.bucket == Bucket.EXCLUDED.value, mailboxes.c.reason == ERASED, mailboxes.c.address == "")
    return Held(
        mailbox_id=mailbox_id,
        erased=await count(mailboxes, *stub) == 1,
        timelines=await count(timelines, timelines.c.address != ""),
        updates=await count(updates, updates.c.type == _UPDATED),
        subscriptions=await count(subscriptions),
    )


async def _waited(store: Store, org_id: str, mailbox_id: str) -> Held:
    end = clock.now() + PATIENCE
    with console.status("erasing ..."):
        while not (found := await held(store, org_id, mailbox_id)).gone:
            if clock.now() >= end:
                raise click.ClickException(
                    f"not finished after {PATIENCE} s; it goes on by itself while the services run. "
                    "The same command says whether it is done."
                )
            await asyncio.sleep(0.25)
    return found


def _show(before: Held, after: Held) -> None:
    console.print(f"[green]Erased[/green] mailbox {after.mailbox_id}. Deleted:", highlight=False)
    for name, count in (
        ("address and state", int(not before.erased)),
        ("timelines", before.timelines),
        ("updates in the log", before.updates),
        ("subscriptions at Microsoft", before.subscriptions),
    ):
        console.print(f"  {name}: {count}", highlight=False)
    console.print("Kept: its id, so that it is never read again, and the word to consumers that it is gone.")
