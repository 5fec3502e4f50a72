"""Dead letters: see why each was parked, look into one, put it back, or drop it. And the broker's definitions."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from msgspec import Struct
from rich.table import Table

from deploy.command.actors import actor_option, ready, record
from deploy.command.context import console, opened_broker, opened_store
from deploy.command.failures import Wrong
from deploy.rabbitmq.definitions import document
from services.authorizer.audit import DEPLOYMENT
from shared import clock
from shared.broker import Broker
from shared.contracts.values import ORG_ID

T = TypeVar("T")
EVERY = 100_000  # dead letters at most


def _with_broker(work: Callable[[Broker], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened_broker() as broker:
            return await work(broker)

    return asyncio.run(run())


@click.group("dead-letters")
def dead_letters() -> None:
    """Messages that could not be handled, each with its reason; nothing is lost in silence."""


@dead_letters.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, EVERY))
def list_(limit: int) -> None:
    """List what is parked, the oldest first; into a pipe, one JSON object a line."""
    letters = _with_broker(lambda broker: broker.parked(limit=limit))
    if not letters:
        console.print("Nothing is parked.")
        return
    if not console.is_terminal:
        for letter in letters:
            click.echo(msgspec.json.encode(letter).decode())
        return
    table = Table(box=None, header_style="bold")
    for title in ("id", "queue", "type", "reason", "where", "org", "tries", "parked"):
        table.add_column(title, overflow="fold")
    for letter in letters:
        reason = f"{letter.reason} ({letter.error_type})" if letter.error_type else letter.reason
        table.add_row(letter.parked_id, letter.queue, letter.message_type, reason, letter.where,
                      letter.org_id, str(letter.attempts), clock.moment(letter.parked_at))  # fmt: skip
    console.print(table)


@dead_letters.command("show")
@click.argument("parked_id")
def show(parked_id: str) -> None:
    """Print one body as it came. It may be private: it goes to this terminal alone."""
    body = _with_broker(lambda broker: broker.show(parked_id))
    if body is None:
        raise click.ClickException("there is no such dead letter")
    sys.stdout.buffer.write(body + b"\n")


@dead_letters.command("replay")
@click.argument("parked_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Replay all that is parked now.")
@actor_option
def replay(parked_ids: tuple[str, ...], *, everything: bool, actor: str) -> None:
    """Put dead letters back into their queues as first attempts."""
    _each(parked_ids, _Act("replayed", lambda broker, one: broker.replay(one)), everything=everything, actor=actor)


@dead_letters.command("drop")
@click.argument("parked_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Drop all that is parked now.")
@actor_option
def drop(parked_ids: tuple[str, ...], *, everything: bool, actor: str) -> None:
    """Delete dead letters for good."""
    _each(parked_ids, _Act("dropped", lambda broker, one: broker.drop(one)), everything=everything, actor=actor)


class _Act(Struct, frozen=True):
    """What is done with each dead letter, and its word."""

    verb: str
    do: Callable[[Broker, str], Awaitable[bool]]


def _each(parked_ids: tuple[str, ...], act: _Act, *, everything: bool, actor: str) -> None:
    if bool(parked_ids) == everything:
        raise Wrong("name dead letters, or give --all")
    count, unknown = asyncio.run(_done(None if everything else parked_ids, act, actor=actor))
    click.echo(f"{count} {act.verb}")
    if unknown:
        raise click.ClickException(f"there is no dead letter {', '.join(unknown)}")


async def _done(parked_ids: tuple[str, ...] | None, act: _Act, *, actor: str) -> tuple[int, list[str]]:
    """Do it with each, and write into the audit log of each org how many; return how many, and the unknown ids."""
    async with opened_broker() as broker, opened_store() as store:
        await ready(store)
        orgs = {letter.parked_id: letter.org_id for letter in await broker.parked(limit=EVERY)}
        names = tuple(orgs) if parked_ids is None else parked_ids
        done: Counter[str] = Counter()
        try:
            unknown = []
            for name in names:
                if await act.do(broker, name):
                    done[orgs.get(name, "")] += 1
                else:
                    unknown.append(name)
        finally:  # also what was done before it failed
            for org_id, count in done.items():
                chain = org_id if ORG_ID.fullmatch(org_id) else DEPLOYMENT
                await record(store, f"letter.{act.verb}", actor=actor, chain=chain, details={"letters": count})
    return len(names) - len(unknown), unknown


@click.group("broker")
def broker_commands() -> None:
    """Help a RabbitMQ administrator."""


@broker_commands.command("definitions")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file; otherwise the terminal.")
def definitions(out: Path | None) -> None:
    """Write RabbitMQ's definitions: exchanges, queues, and a least-privileged user for each service.

    Passwords are read from BUSYLINE_BROKER_PASSWORD_<USER>, for example BUSYLINE_BROKER_PASSWORD_FETCHER.
    """
    prefix = "BUSYLINE_BROKER_PASSWORD_"
    passwords = {k.removeprefix(prefix).lower(): v for k, v in os.environ.items() if k.startswith(prefix)}
    text = document(passwords)
    if out is None:
        sys.stdout.buffer.write(text + b"\n")
    else:
        out.write_bytes(text)
