"""`busyline policy`: show what an org allows, preview a change of it over what is stored, and make the change."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import click
import msgspec
from msgspec.structs import replace
from sqlalchemy import select

from deploy.command import preview, previewed
from deploy.command.actors import actor_option, org_argument, yes_option
from deploy.command.context import console, opened_store
from deploy.command.failures import OVERTAKEN
from deploy.command.policies import change_options, changed
from deploy.command.preview import Line
from services.authorizer import orgs, policy_previewing
from services.authorizer.orgs import OrgState
from services.authorizer.policy_preview import Figures, Preview
from shared import clock
from shared.connections import IN_FORCE
from shared.contracts.policy import Policy
from shared.contracts.values import Block
from shared.store import Store
from shared.tables import timelines

PAGE: Final = 500
_COLUMNS: Final = (timelines.c.mailbox_id, timelines.c.address, timelines.c.blocks, timelines.c.events)
_BLOCKS = msgspec.json.Decoder(tuple[Block, ...])
_EVENTS = msgspec.json.Decoder(list[msgspec.Raw])


@click.group()
def policy() -> None:
    """Show what an organisation allows, see what a change of it would do, change it."""


@policy.command()
@org_argument
def show(org: str) -> None:
    """Print the policy of ORG as JSON, with its generation."""

    async def work() -> OrgState:
        async with opened_store() as store:
            return await _in_force(store, org)

    state = asyncio.run(work())
    said = {"org_id": org, "generation": state.generation, "policy": msgspec.to_builtins(state.policy)}
    click.echo(msgspec.json.format(msgspec.json.encode(said), indent=1).decode())


@policy.command("preview")
@org_argument
@change_options
def preview_(org: str, **options: Any) -> None:
    """Show what a change of the policy of ORG would do to what is stored now; nothing is changed."""

    async def work() -> None:
        async with opened_store() as store:
            state = await _in_force(store, org)
            previewed.show(await figured(store, state, changed(state.policy, options)))

    asyncio.run(work())


@policy.command("set")
@org_argument
@change_options
@actor_option
@yes_option
def set_(org: str, *, actor: str, yes: bool, **options: Any) -> None:
    """Change the policy of ORG: show what that does, ask, and put it in force at once."""
    asyncio.run(_set(org, options, actor=actor, yes=yes))


async def _set(org: str, options: dict[str, Any], *, actor: str, yes: bool) -> None:
    async with opened_store() as store:
        state = await _in_force(store, org)
        wanted = changed(state.policy, options)
        found = await figured(store, state, wanted)
        previewed.show(found)
        if wanted == state.policy:
            return
        if not yes:
            click.confirm("Put it in force?", abort=True)
        if not await orgs.change_policy(store, org, wanted, actor=actor, now=clock.now()):
            raise click.ClickException(OVERTAKEN)
        after = await _in_force(store, org)
    console.print(
        f"[green]In force[/green] as generation {after.generation}: every mailbox is being read anew. "
        f"busyline status {org}"
    )


async def _in_force(store: Store, org: str) -> OrgState:
    state = await orgs.org(store, org)
    if state is None:
        raise click.ClickException(f"there is no org {org}")
    if state.state not in IN_FORCE:
        raise click.ClickException(f"{org} is {state.state}: it has no policy in force")
    return state


async def figured(store: Store, state: OrgState, new: Policy) -> Preview:
    """Compare two policies over what is stored of an org, its published blocks included."""
    now, old = clock.now(), state.policy
    found = await policy_previewing.figured(store, state, new, now=now)
    figures: Figures = Counter(found.figures)
    async for rows in _pages(store, state.org_id):
        lines = [_line(row) for row in rows if row.address]
        figures += preview.of_timelines(old, new, lines, now=now, stricter=found.stricter)
    return replace(found, figures=figures)


async def _pages(store: Store, org_id: str) -> AsyncIterator[list[Any]]:
    after = ""
    while True:
        query = (
            select(*_COLUMNS)
            .where(timelines.c.org_id == org_id, timelines.c.mailbox_id > after)
            .order_by(timelines.c.mailbox_id)
            .limit(PAGE)
        )
        async with store.read() as reading:
            rows = list(await reading.execute(query))
        if not rows:
            return
        yield rows
        after = rows[-1].mailbox_id


def _line(row: Any) -> Line:
    events = 0 if row.events is None else len(_EVENTS.decode(row.events))
    return Line(blocks=_BLOCKS.decode(row.blocks), events=events)
