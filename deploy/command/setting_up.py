"""The demo's setup page: a link for an admin, fresh ones as long as it runs, and what to fill in for the sandbox."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.command.context import console
from deploy.command.trial import Trial
from shared import clock

ACTOR = "admin@demo"
FRESH = 540  # seconds: a little less than a link lives


def show(running: Trial) -> None:
    """Print a link with which an admin changes settings, looks at mailboxes, disconnects and connects anew."""
    console.print(
        "\n[bold]Setup page[/bold]  what the organisation's IT admin sees; the link works once, for ten minutes"
    )
    _print_link(running)


def begin(running: Trial) -> None:
    """Print a link to connect with, and what the sandbox takes."""
    sandbox = running.sandbox
    console.print("[bold]Connect the organisation on the setup page[/bold] (the link works once, for ten minutes)")
    _print_link(running)
    console.print(
        "\nMicrosoft 365: choose the cloud [bold]sandbox[/bold], and sign in as a Global Administrator there."
    )
    console.print("  Your browser warns of the sandbox's certificate, which it cannot know: go on.", style="dim")
    console.print("Exchange server:")
    member = next(person.address for person in sandbox.mailboxes(readable=True))
    facts = {
        "server address": sandbox.ews_url,
        "account": sandbox.ews_user,
        "password": sandbox.ews_password,
        "test mailbox": member,
        "group with the mailboxes": sandbox.ews_scope,
    }
    for name, value in facts.items():
        console.print(f"  {name}: {value}", highlight=False, markup=False, soft_wrap=True)
    console.print()


@asynccontextmanager
async def renewing(running: Trial) -> AsyncIterator[None]:
    """Print another link whenever the last one has had its time, while the block runs."""
    task = asyncio.create_task(_renew(running))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _renew(running: Trial) -> None:
    while True:
        await asyncio.sleep(FRESH)
        console.print(f"  a fresh link to the setup page, at {clock.moment(clock.now())[11:16]} UTC:", style="dim")
        _print_link(running)


def _print_link(running: Trial) -> None:
    console.print(f"  {running.setup_link(ACTOR)}", highlight=False, markup=False, soft_wrap=True)
