"""`busyline verify-privacy`: fill the sandbox with canaries, run everything under free/busy only, and look everywhere.

It searches what was asked of Microsoft, what passed the broker, every table, the logs, the HTTP answers and the
updates. A canary found anywhere is a failure; so is a place that turned out empty, for then nothing was proved.
"""

import asyncio
import io
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
import msgspec
from msgspec import Struct
from rich.table import Table
from sqlalchemy import select

from deploy.command import published
from deploy.command.context import console
from deploy.command.trial import Trial, TrialOptions, trial
from deploy.sandbox import SandboxOptions
from shared import tables
from shared.contracts.policy import Policy

PRIVATE = ("subject", "body", "bodyPreview", "attendees", "organizer", "location", "locations", "categories",
           "onlineMeeting", "onlineMeetingUrl", "webLink", "uniqueBody", "attachments")  # fmt: skip
# All that an Exchange server may be asked for: the view of times alone, times of a day to verify, a time zone.
EXCHANGE = frozenset({"FreeBusy", "IdOnly", "calendar:Start", "calendar:End", "OWA.UserOptions"})


class Place(Struct, frozen=True):
    """One place that was searched: how many things, how many bytes, and which canaries were found there."""

    name: str
    things: int
    size: int
    found: tuple[str, ...]


def search(name: str, things: Iterable[bytes], canaries: Iterable[str]) -> Place:
    """Look for every canary in every thing; upper and lower case alike."""
    needles = {canary.lower().encode(): canary for canary in canaries}
    count = size = 0
    found: Counter[str] = Counter()
    for thing in things:
        count, size = count + 1, size + len(thing)
        lowered = thing.lower()
        found.update(canary for needle, canary in needles.items() if needle in lowered)
    return Place(name, count, size, tuple(sorted(found)))


@click.command("verify-privacy")
@click.option("--mailboxes", default=20, show_default=True, type=click.IntRange(1, 5_000))
@click.option("--provider", type=click.Choice(["graph", "ews"]), default="graph", show_default=True,
              help="How the calendars are reached: Microsoft 365, or an Exchange server.")  # fmt: skip
@click.option("--broker", default="memory://", show_default=True, help="amqp://... to prove it on RabbitMQ.")
@click.option("--database", default="", help="postgresql://... to prove it on PostgreSQL.")
def verify_privacy(mailboxes: int, provider: str, broker: str, database: str) -> None:
    """Prove that nothing private leaves Microsoft under free/busy only, and show where was looked.

    Every private field of every event in the sandbox carries a distinctive text. After a full run none of them may
    be found in requests, messages, tables, logs, HTTP answers or updates.
    """
    places = asyncio.run(proof(mailboxes=mailboxes, provider=provider, broker_url=broker, database_url=database))
    table = Table(box=None, header_style="bold")
    for title in ("searched", "things", "bytes", "private texts found"):
        table.add_column(title, justify="left" if title == "searched" else "right")
    for place in places:
        table.add_row(place.name, str(place.things), str(place.size), str(len(place.found)))
    console.print(table)
    empty = [place.name for place in places if place.things == 0]
    leaks = [place for place in places if place.found]
    if empty or leaks:
        for place in leaks:
            console.print(f"[red]{place.name}[/red]: {', '.join(place.found[:5])}")
        for name in empty:
            console.print(f"[red]{name}[/red]: nothing was there to search, so nothing is proved")
        sys.exit(1)
    console.print("[green]Nothing private was found anywhere.[/green]")


async def proof(
    *, mailboxes: int, broker_url: str, database_url: str, provider: str = "graph", policy: Policy | None = None
) -> list[Place]:
    """Run the trial and return every place searched."""
    messages: list[bytes] = []
    updates: list[bytes] = []

    def tap(queue: str, body: bytes, headers: Mapping[str, object]) -> None:
        kept = updates if queue == "availability" else messages
        kept.append(body + repr(sorted(headers.items())).encode())

    log = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="busyline-privacy-") as folder:
        options = TrialOptions(
            folder=Path(folder),
            sandbox=SandboxOptions(mailboxes=mailboxes, events=20, folder=Path(folder), canaries=True),
            policy=policy or Policy(),
            provider=provider,
            broker_url=broker_url,
            database_url=database_url,
            log=log,
            tap=tap,
        )
        async with trial(options) as running:
            answers = await _answers(running)
            canaries = running.sandbox.canaries
            places = [
                _asked(running) if provider == "graph" else _asked_of_exchange(running),
                search("messages on the broker", messages, canaries),
                search("tables", await _rows(running), canaries),
                search("HTTP answers", answers, canaries),
                search("updates to consumers", updates, canaries),
            ]
            if not database_url:
                places.append(search("database files", _files(Path(folder)), canaries))
        places.append(search("log lines", log.getvalue().encode().splitlines(), canaries))
    return places


def _asked(running: Trial) -> Place:
    """Look at the `$select` of every calendar request: a private property asked for is a find."""
    selects = running.sandbox.requests.selects.get("calendarView", Counter())
    found = {name for asked in selects for name in asked.split(",") if name in PRIVATE or name == "*"}
    return Place("$select of requests", len(selects), sum(map(len, selects)), tuple(sorted(found)))


def _asked_of_exchange(running: Trial) -> Place:
    """Look at the fields and views that were asked for: whatever is not known to be harmless is a find."""
    selects = [asked for kind, seen in running.sandbox.requests.selects.items() if kind.startswith("EWS ")
               for asked in seen]  # fmt: skip
    found = {name for asked in selects for name in asked.split(",")} - EXCHANGE
    return Place("fields of requests", len(selects), sum(map(len, selects)), tuple(sorted(found)))


async def _answers(running: Trial) -> list[bytes]:
    """Wait for the first reading, then ask for everything a consumer can ask for."""
    while not published.progress(await running.api.status()).complete:
        await asyncio.sleep(0.1)
    rows = await published.rows(running.api)
    return [msgspec.json.encode(await running.api.status()), *map(msgspec.json.encode, rows)]


async def _rows(running: Trial) -> list[bytes]:
    found = []
    async with running.store.read() as connection:
        for table in tables.metadata.sorted_tables:
            for row in await connection.execute(select(table)):
                found.append(b"|".join(v if isinstance(v, bytes) else str(v).encode() for v in row))  # noqa: PERF401
    return found


def _files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("busyline.db*"))]
