"""`busyline status` and `busyline watch`: how the organisations do, and what is published as it is published."""

import asyncio
from typing import Any

import click
import msgspec
from rich.table import Table
from sqlalchemy import func, or_, select

from deploy.command import board
from deploy.command.context import console, opened_store
from deploy.command.standing import standing
from services.authorizer import orgs
from services.publisher.news import UPDATED
from shared.store import Store
from shared.tables import orgs as organisations
from shared.tables import updates

PAGE = 500
_STYLES = {"reason": "yellow", "sentence": "yellow", "held": "yellow"}


@click.command()
@click.argument("org", required=False)
def status(org: str | None) -> None:
    """Show every org (or ORG): its state and what its admin must do, its mailboxes, what waits, what comes next."""
    asyncio.run(_status(org))


async def _status(org: str | None) -> None:
    async with opened_store() as store:
        names = [org] if org else [found.org_id for found in await orgs.all_orgs(store)]
        if not names:
            console.print("No organisation is connected yet: busyline connect ORG --tenant ... or --ews ...")
        for name in names:
            found = await standing(store, name)
            if found is None:
                raise click.ClickException(f"there is no org {name}")
            _show(name, found)


def _show(name: str, found: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, title=name, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in found.items():
        if isinstance(value, dict):
            value = _words(value)  # noqa: PLW2901 -- shown form
        if value not in (None, ""):
            table.add_row(key, str(value), style=_STYLES.get(key))
    console.print(table)


def _words(value: dict[str, Any]) -> str:
    flat = {name: _words(inner) if isinstance(inner, dict) else inner for name, inner in value.items()}
    return "   ".join(f"{name} {inner}" for name, inner in flat.items() if inner != "")


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
    """Print the update log from a position (None: from its end) for as long as it is let.

    An update of an older generation is left out, as it is when the log is announced: the policy may forbid it now.
    """
    if after is None:
        async with store.read() as connection:
            after = int((await connection.execute(select(func.coalesce(func.max(updates.c.position), 0)))).scalar_one())
    table = updates.c
    present = or_(table.type != UPDATED, table.generation == organisations.c.generation)
    query = select(table.position, table.type, table.body, present.label("present")).order_by(table.position)
    query = query.outerjoin(organisations, organisations.c.org_id == table.org_id).limit(PAGE)
    if org_id is not None:
        query = query.where(table.org_id == org_id)
    while True:
        async with store.read() as connection:
            rows = (await connection.execute(query.where(table.position > after))).all()
        for row in rows:
            if row.present:
                console.print(board.update_line(row.position, row.type, msgspec.json.decode(row.body)), soft_wrap=True)
            after = row.position
        if not rows:
            await asyncio.sleep(0.25)
