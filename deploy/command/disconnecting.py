"""`busyline disconnect` and `busyline receipt`: delete everything held of an organisation, and show what went.

The request is stored in the database, where a running authorizer takes it up; nothing is deleted from here.
"""

import asyncio
from pathlib import Path

import click
import msgspec
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.command import admitting, receipts, witness
from deploy.command.actors import actor_option, org_argument, yes_option
from deploy.command.context import console, opened_store
from deploy.command.receipts import Printed
from services.authorizer import orgs
from services.authorizer.purging import Purge
from services.authorizer.receipts import receipt as ended_receipt
from shared import clock
from shared.contracts.messages import Connection, EwsConnection
from shared.store import Store

PATIENCE = 900  # seconds; subscriptions at Microsoft and large databases take their time
_SERVICES = ("fetcher", "normalizer", "publisher", "authorizer")
_CONSENT = """\
What only Microsoft's administrator of this organisation can take back: the consent given to the app.
  Entra admin center > Enterprise applications > the app > Properties > Delete"""
_ACCOUNT = """\
What only the Exchange server's administrator can take back: the account's right to impersonate, and the account.
  Remove-ManagementRoleAssignment ASSIGNMENT; Disable-ADAccount ACCOUNT"""
_LEFT = """\
What may still lie elsewhere:
  backups      as long as they are kept; nothing of them is changed
  consumers    what they were sent; they were told to drop it (org.removed.v1)
  PostgreSQL   its write-ahead log, until it is recycled or archived copies of it are deleted"""
_NOT_COMPACTED = """\
  free space   deleted rows still lie in the database's files: a reader was in the way, or this user does not own the
               tables. Run VACUUM as their owner; on SQLite, stop Busyline once."""


@click.command()
@org_argument
@actor_option
@yes_option
@click.option(
    "--witness",
    "listed",
    type=click.Path(dir_okay=False, path_type=Path),
    help="First write the addresses and ids that must vanish into this file, for `busyline verify-purge`. "
    "It is personal data: keep it outside the deployment and delete it afterwards.",
)
@click.option("--wait", default=PATIENCE, show_default=True, type=click.IntRange(0), help="Seconds to wait.")
def disconnect(org: str, *, actor: str, yes: bool, listed: Path | None, wait: int) -> None:
    """Disconnect ORG: delete all that is held of it, everywhere, for good, and print the receipt.

    Nothing of it is answered or announced from that moment on. Exit 0 only with a receipt.
    """
    asyncio.run(_disconnect(org, actor=actor, yes=yes, listed=listed, wait=wait))


async def _disconnect(org: str, *, actor: str, yes: bool, listed: Path | None, wait: int) -> None:
    async with opened_store() as store:
        known = await orgs.org(store, org)
        if known is None:
            raise click.ClickException(_unknown(org, await receipts.latest(store, org)))
        if not yes:
            await _asked(store, org)
        if listed is not None:
            witness.write(listed, await witness.witnessed(store, org, now=clock.now()))
            console.print(f"{listed} lists what must vanish; it is personal data.", highlight=False)
        if await orgs.disconnect(store, org, actor=actor, now=clock.now()) is None:
            raise click.ClickException(f"{org} was connected anew, or left, meanwhile: nothing was done; try again")
        ended = await _followed(store, org, clock.now() + wait)
        # the authorizer may not compact what it does not own; whoever runs this command may
        compacted = ended is not None and (bool(ended.counts.get("compacted")) or await store.compact())
        await admitting.departed(store)
    if ended is None:
        raise click.ClickException(
            f"not finished after {wait} s. Nothing of {org} is shown any more, and the deletion goes on by itself "
            f"while the services run: `busyline receipt {org}` says how far it is, and shows the receipt in the end."
        )
    _show(ended)
    console.print(to_take_back(known.connection), _LEFT, sep="\n", highlight=False)
    if not compacted:
        console.print(_NOT_COMPACTED, highlight=False, style="yellow")


def _unknown(org: str, purged: Purge | None) -> str:
    if purged is None:
        return f"there is no org {org}"
    return f"{org} is disconnected already: `busyline receipt {org}`"


async def _asked(store: Store, org: str) -> None:
    """Have the operator type the org's name. Raises ClickException where it is another one."""
    held = await receipts.held(store, org)
    console.print(
        f"Everything held of [bold]{org}[/bold] will be deleted for good: {sum(held.values())} rows, "
        "what waits in queues, its subscriptions, its credentials.",
        highlight=False,
    )
    if click.prompt("Type the org's name to go on") != org:
        raise click.ClickException("that is another name; nothing was done")


async def _followed(store: Store, org: str, end: int) -> Printed | None:
    """Show how far it is until there is a receipt; None where time is up first."""
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            purge = await receipts.latest(store, org)
            if purge is not None and purge.ended_at is not None:
                return await _printed(store, org)
            if clock.now() >= end:
                return None
            if purge is not None:
                live.update(progress(purge, await receipts.held(store, org)))
            await asyncio.sleep(0.25)


async def _printed(store: Store, org: str) -> Printed | None:
    found = await ended_receipt(store, org)
    return None if found is None else receipts.printed(found)


def progress(purge: Purge, held: dict[str, int]) -> Table:
    """Draw how far a disconnection is: each service, what rows it still holds, whether it has answered."""
    table = Table(box=None, header_style="bold")
    for title in ("service", "rows left", ""):
        table.add_column(title, justify="right" if title == "rows left" else "left")
    for service in _SERVICES:
        done = service in purge.done
        rows = str(held[service]) if service in held else ""
        table.add_row(service, rows, Text("nothing left" if done else "...", "green" if done else "dim"))
    return table


def _show(ended: Printed) -> None:
    table = Table(box=None, show_header=False, title=f"Receipt: {ended.org_id} is disconnected", title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for kind, count in sorted(ended.counts.items()):
        table.add_row(kind.replace("_", " "), str(count))
    for name in ("started_at", "ended_at", "seconds", "actor", "audit_hash"):
        table.add_row(name.replace("_", " "), str(getattr(ended, name)))
    console.print(table)


def to_take_back(connection: Connection) -> str:
    """Say what an org's own admin must take back, for nobody else can."""
    match connection:
        case EwsConnection(tenant_id=""):
            return _ACCOUNT
        case _:
            return _CONSENT  # with OAuth an app reads an Exchange server, too


@click.command()
@org_argument
def receipt(org: str) -> None:
    """Print the last receipt of ORG as JSON: what was deleted, when, and the audit entry that closes it."""

    async def work() -> Printed:
        async with opened_store() as store:
            found = await _printed(store, org)
            if found is None:
                raise click.ClickException(await _missing(store, org))
            return found

    click.echo(msgspec.json.format(msgspec.json.encode(asyncio.run(work())), indent=1).decode())


async def _missing(store: Store, org: str) -> str:
    purge = await receipts.latest(store, org)
    if purge is None:
        return f"{org} was never disconnected: there is no receipt"
    left = ", ".join(service for service in _SERVICES if service not in purge.done)
    return f"{org} is being disconnected since {clock.moment(purge.started_at)}; still at work: {left}"
