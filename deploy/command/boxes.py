"""`busyline mailboxes`: every mailbox of an organisation, how it is read, and why it is not."""

import asyncio
import csv
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

import click
from rich.table import Table
from sqlalchemy import select

from deploy.command.actors import org_argument
from deploy.command.context import console, opened_store
from services.authorizer import orgs
from shared import clock
from shared.contracts.values import Bucket, Instant
from shared.store import Store
from shared.tables import mailboxes

PAGE: Final = 1000
COLUMNS: Final = ("address", "kind", "bucket", "reason", "waiting", "last reading", "next try", "subscribed")
_WHOLE: Final = ("address", "last reading", "next try")  # never broken over two lines where there is room
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@click.command("mailboxes")
@org_argument
@click.option("--bucket", type=click.Choice([bucket.value for bucket in Bucket]), help="Only those in this bucket.")
@click.option("--waiting", is_flag=True, help="Only those whose reading waits to be tried again.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV, with the mailbox ids.")
def mailboxes_(org: str, *, bucket: str | None, waiting: bool, as_csv: bool) -> None:
    """List the mailboxes of ORG: which bucket each is in and why, when it was read last, when it is tried next."""

    async def work() -> list[dict[str, str]]:
        async with opened_store() as store:
            if await orgs.org(store, org) is None:
                raise click.ClickException(f"there is no org {org}")
            now = clock.now()
            pages = listed(store, org, bucket=bucket, waiting=waiting)
            return [told(row, now) async for row in pages]

    rows = asyncio.run(work())
    if as_csv:
        _csv(rows)
        return
    table = Table(box=None, header_style="bold")
    for title in COLUMNS:
        table.add_column(title, overflow="fold", no_wrap=title in _WHOLE)
    for row in rows:
        table.add_row(*(row[title] for title in COLUMNS))
    console.print(table)
    console.print(f"{len(rows)} mailboxes", style="dim")


async def listed(store: Store, org_id: str, *, bucket: str | None, waiting: bool) -> AsyncIterator[Any]:
    """Give an org's mailboxes by their ids: all, those of one bucket, those that wait."""
    table = mailboxes.c
    query = select(mailboxes).where(table.org_id == org_id).order_by(table.mailbox_id).limit(PAGE)
    if bucket is not None:
        query = query.where(table.bucket == bucket)
    if waiting:
        query = query.where(table.waiting.is_not(None))
    after = ""
    while True:
        async with store.read() as reading:
            rows = (await reading.execute(query.where(table.mailbox_id > after))).all()
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        after = rows[-1].mailbox_id


def told(row: Any, now: Instant) -> dict[str, str]:
    """Return what is told of a mailbox, by the titles of COLUMNS and its id."""
    next_try = row.retry_at if row.waiting is not None and row.retry_at is not None else row.due_at
    subscribed = row.subscribed_until is not None and row.subscribed_until > now
    return {
        "mailbox id": row.mailbox_id,
        "address": row.address,
        "kind": row.kind,
        "bucket": row.bucket,
        "reason": row.reason or "",
        "waiting": row.waiting or "",
        "last reading": _moment(row.read_at),
        "next try": _moment(next_try),
        "subscribed": clock.moment(row.subscribed_until) if subscribed else "",
    }


def _moment(instant: Instant | None) -> str:
    return "" if instant is None else clock.moment(instant)


def _csv(rows: list[dict[str, str]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    titles = ("mailbox id", *COLUMNS)
    writer.writerow(titles)
    writer.writerows([_inert(row[title]) for title in titles] for row in rows)


def _inert(cell: str) -> str:
    """Keep a spreadsheet from taking an address for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
