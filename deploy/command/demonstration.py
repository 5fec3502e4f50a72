"""`busyline demo`: the whole pipeline in one process, with the sandbox as Microsoft, shown as it happens."""

import asyncio
import itertools
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, TextIO

import click
import msgspec
from msgspec import Struct
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.command import board, first_requests, published, setting_up
from deploy.command.context import console
from deploy.command.looking import follow
from deploy.command.policies import policy, policy_options
from deploy.command.trial import Trial, TrialOptions, move_a_meeting, trial
from deploy.sandbox import SandboxOptions
from deploy.sandbox.options import ROLES
from shared import clock
from shared.contracts.policy import Policy
from shared.contracts.values import DAY, Window

# What the setup page says that Microsoft will ask for, so that its advice to cancel at anything more holds here too.
ASKED = tuple(role for role in ROLES if role != "Organization.Read.All")
CHANGE = 8  # seconds between two changes that the sandbox makes


class DemoOptions(Struct, frozen=True, kw_only=True):
    """What the command line asked for."""

    calendars: Path | None
    mailboxes: int
    events: int
    seed: int
    policy: Policy
    provider: str
    broker: str
    database: str
    once: bool
    out: Path | None
    setup: bool


@click.command()
@click.option("--calendars", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Every .ics file below it is one mailbox; otherwise an organisation is generated.")  # fmt: skip
@click.option("--mailboxes", default=25, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--events", default=300, show_default=True, type=click.IntRange(0, 10_000), help="Per mailbox.")
@click.option("--seed", default=1, show_default=True, help="The same seed generates the same organisation.")
@click.option("--provider", type=click.Choice(["graph", "ews"]), default="graph", show_default=True,
              help="How the calendars are reached: Microsoft 365, or an Exchange server.")  # fmt: skip
@click.option("--broker", default="memory://", show_default=True, help="amqp://... for a RabbitMQ server.")
@click.option("--database", default="", help="postgresql://... for a PostgreSQL server; otherwise a temporary SQLite.")
@click.option("--setup", is_flag=True, help="Begin unconnected: you connect the organisation on the setup page.")
@click.option("--once", is_flag=True, help="End when every mailbox has coverage or a final reason.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write one JSON line a mailbox here.")
@policy_options
def demo(detail: str, *, show_free: bool, window: Window | None, **options: Any) -> None:
    """See it work: sandbox, broker, store and all four services in one process; nothing to set up.

    Connects an organisation, reads every mailbox, shows who is busy today, and goes on: the sandbox moves a meeting
    now and then, and the update is seen here.
    """
    out = options["out"]
    if out is not None and not (out.parent.is_dir() and os.access(out.parent, os.W_OK)):
        raise click.ClickException(f"--out: {out.parent} is not a folder that can be written to")
    asked = DemoOptions(policy=policy(detail, show_free=show_free, window=window), **options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either way the demo takes away what it made
    with tempfile.TemporaryDirectory(prefix="busyline-demo-") as folder:
        try:
            asyncio.run(_demo(asked, Path(folder)))
        except KeyboardInterrupt:
            console.print("\nThe demo is over; nothing of it stays.")
            if asked.once:
                sys.exit(130)


async def _demo(asked: DemoOptions, folder: Path) -> None:
    with (folder / "log.jsonl").open("w", encoding="utf-8") as log:
        async with trial(_options(asked, folder, log)) as running:
            _report_problems(running)
            if asked.setup:
                await _set_up(running)
            await _first_reading(running)
            rows = await published.rows(running.api)
            if asked.out is not None:
                _write(asked.out, rows)
            _show(rows)
            if not asked.once:
                _offer(running, rows)
                setting_up.show(running)
                async with setting_up.renewing(running):
                    await _go_on(running)


def _options(asked: DemoOptions, folder: Path, log: TextIO) -> TrialOptions:
    sandbox = SandboxOptions(
        mailboxes=asked.mailboxes,
        events=asked.events,
        seed=asked.seed,
        calendars=asked.calendars,
        folder=folder,
        interactive=True,
        roles=ASKED,
    )
    return TrialOptions(
        folder=folder,
        sandbox=sandbox,
        policy=asked.policy,
        provider=asked.provider,
        broker_url=asked.broker,
        database_url=asked.database,
        notified=not asked.once,
        connected=not asked.setup,
        log=log,
    )


def _report_problems(running: Trial) -> None:
    problems = running.sandbox.problems
    if problems:
        files = len({problem["file"] for problem in problems})
        console.print(
            f"[yellow]{len(problems)} bad items in {files} files skipped[/yellow]; the rest of each file counts"
        )
        for problem in problems[:5]:
            console.print("  {file}: {place}: {reason}".format(**problem), style="dim", highlight=False, markup=False)


async def _set_up(running: Trial) -> None:
    """Wait until the org is connected on the setup page; what is refused there may be tried again."""
    setting_up.begin(running)
    async with setting_up.renewing(running):
        while (status := await running.api.status()) is None or status["state"] != "connected":
            await asyncio.sleep(0.5)


async def _first_reading(running: Trial) -> None:
    """Show progress until every mailbox has coverage or a final reason."""
    columns = (TextColumn("reading mailboxes"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None)
        while True:
            status = await running.api.status()
            if status and status["state"] == "refused":
                raise click.ClickException(f"{status['reason']}: {status['sentence']}")
            state = published.progress(status)
            progress.update(task, completed=state.done, total=state.total or None)
            if state.complete:
                return
            await asyncio.sleep(0.1)


def _write(out: Path, rows: list[dict[str, Any]]) -> None:
    """Write the file whole or not at all."""
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        draft.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _show(rows: list[dict[str, Any]]) -> None:
    day = clock.now() - clock.now() % DAY
    console.print(board.mailbox_table([published.for_table(row) for row in rows], day, width=console.width))
    console.print(board.legend())


def _offer(running: Trial, rows: list[dict[str, Any]]) -> None:
    """Print what may be asked while the demo runs, about those of whom most is known."""
    console.print(f"\n[bold]HTTP API[/bold]  {running.api_url}/openapi.json  (ends with the demo)", highlight=False)
    known = sorted((row for row in rows if row["coverage"] == "full"), key=lambda row: len(row["busy"]), reverse=True)
    lines = [first_requests.variables(running.api_url, running.token, running.org_id)]
    if known:
        asked = first_requests.requests([row["mailbox"] for row in known], clock.now())
        lines += [f"{each.shows:<31}{each.command}" for each in asked]
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True, style="dim")


async def _go_on(running: Trial) -> None:
    """Let the sandbox change a meeting now and then, and print what is published."""
    console.print("\n[bold]Updates as they are published[/bold] (Ctrl-C ends the demo)")

    async def change() -> None:
        for turn in itertools.count():
            await asyncio.sleep(CHANGE)
            console.print(f"  sandbox: {move_a_meeting(running.sandbox, turn)}", style="dim", highlight=False)

    async with asyncio.TaskGroup() as group:
        group.create_task(change())
        group.create_task(follow(running.store, org_id=running.org_id))
