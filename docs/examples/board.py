"""A board in the terminal: who is busy now, kept up to date over Server-Sent Events.

TOKEN=... python docs/examples/board.py http://127.0.0.1:8080 acme [--file board.db] [--once]
"""

import argparse
import asyncio
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.live import Live
from rich.table import Table

from shared.client import AvailabilityUpdated, Http, Replica, Unknown, follow

DAY = timedelta(days=1)


def row(replica: Replica, held: AvailabilityUpdated, now: datetime) -> tuple[str, str, str]:
    """Return a person, how they are now, and until when at least; unknown is never shown as free."""
    try:
        blocks = replica.busy(held.mailbox_id, now, now + DAY, org=held.org_id)
    except Unknown as why:
        return held.mailbox, "[yellow]not known[/]", why.reason
    if blocks and blocks[0].start <= now:
        return held.mailbox, f"[red]{blocks[0].status.value}[/]", f"{blocks[0].end:%H:%M} UTC"
    return held.mailbox, "[green]free[/]", f"{blocks[0].start:%H:%M} UTC" if blocks else "tomorrow"


def board(replica: Replica) -> Table:
    """Return the table of this moment."""
    now = datetime.now(UTC)  # noqa: TID251 -- an example of an application: its rim is here
    connected = "live" if replica.stats.connected else "not connected: as it was"
    table = Table("mailbox", "now", "until", title=f"position {replica.position}", caption=connected)
    for held in replica.mailboxes():
        table.add_row(*row(replica, held, now))
    return table


async def main(http: Http, file: str, *, once: bool) -> None:
    """Show the board until interrupted, or once as soon as it is connected."""
    with Replica(file) as replica:
        async with asyncio.TaskGroup() as group:
            following = group.create_task(follow(replica, http))
            while once and not replica.stats.connected and not following.done():
                await asyncio.sleep(0.05)
            if once:
                Console().print(board(replica))
                following.cancel()
                return
            with Live(board(replica), auto_refresh=False) as live:
                while not following.done():
                    await asyncio.sleep(0.5)
                    live.update(board(replica), refresh=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Who is busy now.")
    parser.add_argument("url")
    parser.add_argument("orgs", nargs="+")
    parser.add_argument("--file", default=":memory:")
    parser.add_argument("--once", action="store_true")
    asked = parser.parse_args()
    source = Http(url=asked.url, token=os.environ["TOKEN"], orgs=tuple(asked.orgs))
    with suppress(KeyboardInterrupt):
        asyncio.run(main(source, asked.file, once=asked.once))
