"""`busyline consumers access`: how often a consumer asked what, of which org, and how it was answered."""

import asyncio
from datetime import UTC, datetime

import click
from rich.table import Table

from deploy.command.context import console, opened_store
from services.publisher import accounting, consumers
from services.publisher.accounting import Access
from shared import clock
from shared.contracts.values import DAY, Instant

_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ")


@click.command("access")
@click.argument("name")
@click.option("--since", type=click.DateTime(_FORMATS), help="A day or an instant, in UTC; otherwise a day ago.")
def access(name: str, *, since: datetime | None) -> None:
    """Print how often NAME asked what, by the hour. What was asked in the last seconds may not be written yet.

    The org is empty where a request concerned no single one, or one beyond NAME's scope.
    """
    begin = clock.now() - DAY if since is None else int(since.replace(tzinfo=UTC).timestamp())
    rows = asyncio.run(_read(name, begin))
    table = Table(box=None, header_style="bold")
    for title in ("hour", "org", "operation", "status", "count"):
        table.add_column(title, justify="right" if title == "count" else "left", overflow="fold")
    for found, count in rows:
        table.add_row(clock.moment(found.hour), found.org_id, found.operation, str(found.status), str(count))
    console.print(table)
    console.print(f"{sum(count for _, count in rows)} accesses", style="dim")


async def _read(name: str, since: Instant) -> list[tuple[Access, int]]:
    async with opened_store() as store:
        rows = await accounting.counted(store, name, since=since)
        if not rows and await consumers.named(store, name) is None:  # of one that was removed, what it asked stays
            raise click.ClickException("there is no consumer of that name")
        return rows
