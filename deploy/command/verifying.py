"""`busyline verify-purge`: search everything the deployment holds for what must have vanished with an org."""

import asyncio
import sys
from pathlib import Path

import click
from rich.table import Table
from sqlalchemy.engine import make_url

from deploy.command import places, witness
from deploy.command.context import console, deployment, opened_store
from deploy.command.failures import BROKER, Wrong, reaching
from deploy.command.places import Searched
from deploy.command.searching import Matcher, Wanted
from services.authorizer import orgs
from shared.broker import address, topology
from shared.broker.rabbit import Rabbit
from shared.config import Deployment
from shared.contracts.values import ORG_ID

_INSIDE = (
    "The embedded broker's queues lie in the memory of the process that runs Busyline and end with it; "
    "they cannot be searched from here."
)
_BLIND = (
    "No witness and no canary was given: only the org's id was looked for. `busyline disconnect ORG --witness FILE` "
    "lists the addresses and ids that must vanish."
)


@click.command("verify-purge")
@click.argument("org")
@click.option(
    "--witness",
    "listed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file that `busyline disconnect --witness` wrote.",
)
@click.option("--canary", "canaries", multiple=True, help="A text that must not be there; repeatable.")
@click.option(
    "--also",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="A file or folder to search too, such as the logs; repeatable.",
)
def verify_purge(org: str, listed: Path | None, canaries: tuple[str, ...], also: tuple[Path, ...]) -> None:
    """Search everything for what must have vanished with ORG: every table, the files of SQLite, every queue.

    Places are told, never what was found there. Exit 0 only if nothing was found. The receipt, the org's audit entries,
    the last word to consumers and log lines may name the org, and nobody of it.
    """
    if not ORG_ID.match(org):
        raise Wrong("ORG is 1 to 64 letters, digits, - or _")
    if not all(canary.strip() for canary in canaries):
        raise Wrong("--canary is a text that is not empty")
    wanted = [Wanted("canary", canary) for canary in canaries]
    if listed is not None:
        wanted += witness.read(listed, org).wanted()
    if not wanted:
        console.print(_BLIND, style="yellow")
    _report(asyncio.run(_search(org, wanted, also)))


async def _search(org_id: str, wanted: list[Wanted], also: tuple[Path, ...]) -> list[Searched]:
    ready = deployment()
    whole = Matcher(org_id, wanted)
    async with opened_store() as store:
        if await orgs.org(store, org_id) is not None:
            raise click.ClickException(f"{org_id} is not purged: `busyline status {org_id}` says how it stands")
        found = []
        if store.is_sqlite:  # before anything is read: whoever closes a database last tidies its files
            database = Path(str(make_url(ready.database_url.reveal()).database))
            found += await asyncio.to_thread(places.sqlite_files, database, Matcher("", wanted), org_id=org_id)
        found += await places.tables(store, whole, org_id=org_id)
    found += await _queues(ready, whole)
    if also:
        found.append(await asyncio.to_thread(places.files, also, whole))
    return found


async def _queues(ready: Deployment, matcher: Matcher) -> list[Searched]:
    url = ready.broker_url.reveal()
    if url.startswith("memory:"):
        console.print(_INSIDE, style="yellow")
        return []
    engine = Rabbit(address.parse(url))
    try:
        with reaching(BROKER):
            return [await places.queue(name, engine.browse, matcher) for name in topology.queue_arguments()]
    finally:
        await engine.close()


def _report(found: list[Searched]) -> None:
    table = Table(box=None, header_style="bold")
    for title in ("searched", "things", "bytes", "may remain", "found"):
        table.add_column(title, justify="left" if title == "searched" else "right", overflow="fold")
    for place in found:
        hits = sum(place.hits.values())
        table.add_row(place.what, str(place.things), str(place.size), str(place.allowed), str(hits))
    console.print(table)
    for place in found:
        for where, count in place.hits.items():
            console.print(f"found in {where}: {count}", style="red", highlight=False, markup=False, soft_wrap=True)
    if any(place.hits for place in found):
        sys.exit(1)
    console.print("[green]Nothing of it was found.[/green]")
