"""`busyline status` and `busyline watch`: how the organisations do, and what is published as it is published."""

import asyncio
from typing import Any

import click
import msgspec
from rich.table import Table
from sqlalchemy import func, select

from deploy.command import board
from deploy.command.context import console, opened_store
from services.authorizer import orgs
from services.publisher.standing import org_status
from shared.store import Store
from shared.tables import updates

PAGE = 500


@click.command()
@click.argument("org", required=False)
def status(org: str | None) -> None:
    """Show every org (or ORG): its state, its mailboxes by bucket, its coverage and last errors."""
    asyncio.run(_status(org))


async def _status(org: str | None) -> None:
    async with opened_store() as store:
        names = [org] if org else [found.org_id for found in await orgs.all_orgs(store)]
        if not names:
            console.print("No organisation is connected yet: busyline connect ORG --tenant ...")
        for name in names:
            found = await org_status(store, name)
            if found is None:
                raise click.ClickException(f"there is no org {name}")
            _show(msgspec.to_builtins(found))


def _show(found: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, title=found.pop("org_id", ""), title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for key, value in found.items():
        if isinstance(value, dict):
            value = "   ".join(f"{name} {count}" for name, count in value.items())  # noqa: PLW2901 -- shown form
        table.add_row(key, "" if value is None else str(value))
    console.print(table)


@click.command()
@click.option("--org", "org_id", help="Only this org.")
@click.option("--after", type=click.IntRange(0), help="Begin after this log position; otherwise with what comes next.")
def watch(org_id: str | None, after: int | None) -> None:
    """Print updates as they are published, a line each; Ctrl-C ends it."""

    async def work() -> None:
        async with opened_store() as store:
            await follow(store, org_id=org_id, after=after)

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        return


async def follow(store: Store, *, org_id: str | None = None, after: int | None = None) -> None:
    """Print the update log from a position (None: from its end) for as long as it is let."""
    if after is None:
        async with store.read() as connection:
            after = int((await connection.execute(select(func.coalesce(func.max(updates.c.position), 0)))).scalar_one())
    query = select(updates.c.position, updates.c.type, updates.c.body).order_by(updates.c.position).limit(PAGE)
    if org_id is not None:
        query = query.where(updates.c.org_id == org_id)
    while True:
        async with store.read() as connection:
            rows = (await connection.execute(query.where(updates.c.position > after))).all()
        for position, kind, body in rows:
            console.print(board.update_line(position, kind, msgspec.json.decode(body)), soft_wrap=True)
            after = position
        if not rows:
            await asyncio.sleep(0.25)
