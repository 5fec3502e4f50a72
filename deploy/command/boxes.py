"""`busyline mailboxes`: every mailbox of an organisation, how it is read, and why it is not."""

import asyncio
import sys
from typing import Final

import click
from rich.table import Table

from deploy.command.actors import org_argument
from deploy.command.context import console, opened_store
from services.authorizer import boxes, orgs
from services.authorizer.boxes import COLUMNS, Wanted
from shared import clock
from shared.contracts.values import Bucket

_WHOLE: Final = ("address", "last reading", "next try")  # never broken over two lines where there is room


@click.command("mailboxes")
@org_argument
@click.option("--bucket", type=click.Choice([bucket.value for bucket in Bucket]), help="Only those in this bucket.")
@click.option("--waiting", is_flag=True, help="Only those whose reading waits to be tried again.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV, with the mailbox ids.")
def mailboxes_(org: str, *, bucket: str | None, waiting: bool, as_csv: bool) -> None:
    """List the mailboxes of ORG: which bucket each is in and why, when it was read last, when it is tried next."""
    wanted = Wanted(bucket=None if bucket is None else Bucket(bucket), waiting=waiting)

    async def work() -> list[dict[str, str]]:
        async with opened_store() as store:
            if await orgs.org(store, org) is None:
                raise click.ClickException(f"there is no org {org}")
            now = clock.now()
            return [boxes.told(found, now) async for found in boxes.listed(store, org, wanted)]

    rows = asyncio.run(work())
    if as_csv:
        sys.stdout.write(boxes.table(rows))
        return
    table = Table(box=None, header_style="bold")
    for title in COLUMNS:
        table.add_column(title, overflow="fold", no_wrap=title in _WHOLE)
    for row in rows:
        table.add_row(*(row[title] for title in COLUMNS))
    console.print(table)
    console.print(f"{len(rows)} mailboxes", style="dim")
