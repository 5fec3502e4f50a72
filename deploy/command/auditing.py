"""`busyline audit`: who did what, entry by entry, and whether the chain of entries is whole."""

import asyncio
import sys
from typing import Any

import click
import msgspec
from msgspec import Struct
from rich.table import Table
from rich.text import Text

from deploy.command.context import console, opened_store
from deploy.command.failures import Wrong
from services.authorizer import audit as log
from services.authorizer.audit import DEPLOYMENT
from services.authorizer.receipts import receipts
from shared import clock
from shared.contracts.values import ORG_ID
from shared.store import Store


@click.command()
@click.argument("org", required=False)
@click.option("--all", "everything", is_flag=True, help="Every chain: each org's, and the deployment's own.")
@click.option("--verify", is_flag=True, help="Check that no entry was changed or taken out; print no entries.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def audit(org: str | None, *, everything: bool, verify: bool, as_json: bool) -> None:
    """Show the audit log of ORG, or with "-" what concerns the whole deployment.

    Each entry carries the hash of the one before it. With --verify, exit 1 names the first entry that does not fit.
    """
    if (org is None) != everything:
        raise Wrong("name an org (or - for the deployment), or give --all")
    if org is not None and org != DEPLOYMENT and not ORG_ID.fullmatch(org):
        raise Wrong("ORG is 1 to 64 letters, digits, - or _")
    chains = asyncio.run(_chains(org))
    if verify:
        _verify(chains)
        return
    for chain in chains:
        if as_json:
            click.echo("".join(msgspec.json.encode(entry).decode() + "\n" for entry in chain.entries), nl=False)
        else:
            console.print(_table(chain))


class _Chain(Struct, frozen=True, kw_only=True):
    """A chain as it lies in the store, and the hashes of it that receipts name."""

    name: str
    entries: tuple[log.Entry, ...]
    printed: tuple[str, ...]


async def _chains(org: str | None) -> list[_Chain]:
    async with opened_store() as store:
        names = await log.chains(store) if org is None else (org,)
        found = [
            _Chain(name=name, entries=await log.entries(store, name), printed=await _receipts(store, name))
            for name in names
        ]
    if not any(chain.entries or chain.printed for chain in found):
        raise click.ClickException("there is no entry" if org is None else f"there is no entry of {org}")
    return found


async def _receipts(store: Store, org_id: str) -> tuple[str, ...]:
    return tuple(receipt.audit_hash for receipt in await receipts(store, org_id))


def _verify(chains: list[_Chain]) -> None:
    """Say of each chain whether it is whole, up to the entries that receipts name."""
    broken = False
    for chain in chains:
        number = log.verify(chain.entries, known=chain.printed)
        if number is None:
            last = chain.entries[-1].hash
            said = f"{chain.name}: {len(chain.entries)} entries, whole; the last hash is {last}"
            console.print(said, highlight=False, markup=False, soft_wrap=True)
        else:
            broken = True
            console.print(f"{chain.name}: entry {number} is broken or missing", style="red", highlight=False)
    if broken:
        sys.exit(1)


def _table(chain: _Chain) -> Table:
    table = Table(box=None, header_style="bold", title=chain.name, title_justify="left")
    for title in ("number", "at", "actor", "action", "details"):
        table.add_column(title, justify="right" if title == "number" else "left", overflow="fold")
    for entry in chain.entries:
        table.add_row(
            str(entry.number), clock.moment(entry.at), Text(entry.actor), entry.action, Text(_details(entry.details))
        )
    return table


def _details(details: Any) -> str:
    return "  ".join(f"{name}={value}" for name, value in details.items())
