"""`busyline consumers`: who may read over HTTP and AMQP, about which orgs, and how much they asked."""

import asyncio
from collections.abc import Callable
from typing import Any

import click
import msgspec

from deploy.command.accesses import access
from deploy.command.actors import actor_option, ready, record
from deploy.command.admitting import BrokerSide, Given, announced, broker_side, demanded, saying
from deploy.command.context import opened_store
from deploy.command.failures import Wrong
from deploy.rabbitmq.admission import is_word, scope_on_broker
from services.publisher import consumers as admitted
from services.publisher.consumers import EVERY_ORG, Known
from shared import clock
from shared.errors import Reject
from shared.store import Store

_ABSENT = "there is no consumer of that name"
_IMPORT = "Import this on the broker, which is not managed from here: rabbitmqctl import_definitions FILE"


def scope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a consumer's orgs."""
    one = click.option("--org", "org_ids", multiple=True, help="An org it may see; repeatable.")
    every = click.option("--all", "all_orgs", is_flag=True, help="It may see every org.")
    return one(every(command))


def _scope(org_ids: tuple[str, ...], *, all_orgs: bool) -> tuple[str, ...]:
    if bool(org_ids) == all_orgs:
        raise Wrong("give --org (once or more) or --all")
    return (EVERY_ORG,) if all_orgs else tuple(sorted({*org_ids}))


@click.group()
def consumers() -> None:
    """Admit downstream applications, over HTTP and AMQP."""


consumers.add_command(access)


@consumers.command("add")
@click.argument("name")
@scope_options
@click.option("--amqp", is_flag=True, help="On the broker too: a user of its own, and a queue bound for its orgs.")
@actor_option
def add(name: str, org_ids: tuple[str, ...], *, all_orgs: bool, amqp: bool, actor: str) -> None:
    """Admit NAME and print its bearer token, this once; with --amqp its URL of the broker and its queue as well.

    The broker is managed by BUSYLINE_BROKER_ADMIN_URL; without it, what is to be imported there is printed. A user and
    queues that bear the consumer's name already, and belong to none, are replaced.
    """
    token, given = asyncio.run(_add(name, _scope(org_ids, all_orgs=all_orgs), amqp=amqp, actor=actor))
    click.echo(f"token  {token}" if amqp else token)
    _tell(given)


async def _add(name: str, orgs: tuple[str, ...], *, amqp: bool, actor: str) -> tuple[str, Given | None]:
    """Make both sides or none: the broker's first, whose password nobody knows until all is done."""
    admitted.check(name, orgs)
    async with opened_store() as store:
        if not amqp:
            await _cleared(store, name)
            return await _entered(store, name, orgs, actor=actor), None
        async with broker_side("nothing was added") as opened:
            side = demanded(opened, name)
            await ready(store)
            if await admitted.named(store, name) is not None:
                raise Reject("consumer_exists")
            given = await side.admit(name, orgs, anew=True)
            try:
                return await _entered(store, name, orgs, actor=actor), given
            except BaseException:
                await side.undo(name)
                raise


async def _cleared(store: Store, name: str) -> None:
    """Take away what bears a new consumer's name on the broker: whoever has its password would get the new scope."""
    async with broker_side("nothing was added") as side:
        if side is not None and side.managed and is_word(name):
            await ready(store)
            if await admitted.named(store, name) is None:
                await side.dismiss(name)


async def _entered(store: Store, name: str, orgs: tuple[str, ...], *, actor: str) -> str:
    token = await admitted.add(store, name, orgs, now=clock.now())
    try:
        await record(store, "consumer.added", actor=actor, details=_details(name, orgs))
    except BaseException:
        await admitted.remove(store, name)  # nobody is let in without a word in the audit log
        raise
    return token


def _details(name: str, orgs: tuple[str, ...]) -> dict[str, str | int]:
    every = EVERY_ORG in orgs
    return {"consumer": name, "orgs": 0 if every else len(orgs), "every_org": every}


def _tell(given: Given | None) -> None:
    if given is None:
        return
    click.echo(f"amqp   {given.url}\nqueue  {given.queue}")
    if given.definitions:
        click.echo(_IMPORT, err=True)
        click.echo(given.definitions.decode())


@consumers.command("amqp")
@click.argument("name")
@actor_option
def amqp_(name: str, *, actor: str) -> None:
    """Give NAME a user and a queue on the broker, or a new password there; the old one is void. Its queue stays."""

    async def work() -> Given:
        async with opened_store() as store, broker_side() as opened:
            side = demanded(opened, name)
            await ready(store)
            known = await _named(store, name)
            orgs = scope_on_broker(known, announced=await announced(store))
            given = await side.admit(name, orgs, anew=False)
            await record(store, "consumer.amqp_given", actor=actor, details={"consumer": name})
            return given

    _tell(asyncio.run(work()))


async def _named(store: Store, name: str) -> Known:
    known = await admitted.named(store, name)
    if known is None:
        raise click.ClickException(_ABSENT)
    return known


@consumers.command("list")
def list_() -> None:
    """List the consumers and the orgs each may see."""

    async def work() -> None:
        async with opened_store() as store:
            for consumer in await admitted.listed(store):
                click.echo(msgspec.json.encode(consumer).decode())

    asyncio.run(work())


@consumers.command("scope")
@click.argument("name")
@scope_options
@actor_option
def scope(name: str, org_ids: tuple[str, ...], *, all_orgs: bool, actor: str) -> None:
    """Give NAME another scope, over HTTP and on the broker, in place of the one it has.

    Bindings beyond the new scope are deleted; what was sent to its queues before stays there.
    """
    orgs = _scope(org_ids, all_orgs=all_orgs)

    async def work() -> None:
        async with opened_store() as store, broker_side("nothing was changed") as side:
            admitted.check(name, orgs)
            await _named(store, name)
            await record(store, "consumer.scoped", actor=actor, details=_details(name, orgs))  # no scope without a word
            if await admitted.rescope(store, name, orgs) is None:
                raise click.ClickException(_ABSENT)
            await _followed(store, side, await _named(store, name))

    asyncio.run(work())


async def _followed(store: Store, side: BrokerSide | None, known: Known) -> None:
    if side is None or not is_word(known.name):
        return
    with saying("over HTTP the new scope is in force; give the command again for the broker"):
        await side.follow(store, known)
    if not side.managed:
        click.echo(
            "The broker is not managed from here: if it has a user there, set its topic permissions and delete its "
            "bindings beyond the scope (docs/operations.md).",
            err=True,
        )


@consumers.command("sync")
def sync() -> None:
    """Bring each consumer's rights on the broker to its scope; an org that left is taken out once that is announced."""

    async def work() -> None:
        async with opened_store() as store, broker_side() as side:
            if side is None or not side.managed:
                raise Wrong("set BUSYLINE_BROKER_URL to RabbitMQ, and BUSYLINE_BROKER_ADMIN_URL to its management API")
            found = await admitted.listed(store)
            for name in await side.strays([known.name for known in found]):
                click.echo(f"{name}: on the broker, and no consumer of ours; `busyline consumers remove {name}`")
            async for name in side.follow_each(store, found):
                click.echo(f"{name}: brought to its scope")

    asyncio.run(work())


@consumers.command("remove")
@click.argument("name")
@actor_option
def remove(name: str, *, actor: str) -> None:
    """Forget NAME: its token is refused from now on, its user on the broker and its queues are deleted."""

    async def work() -> bool:
        async with opened_store() as store:
            await ready(store)
            found = await admitted.remove(store, name)
            if found:
                await record(store, "consumer.removed", actor=actor, details={"consumer": name})
            return await _dismissed(name, found=found) or found

    if not asyncio.run(work()):
        raise click.ClickException(_ABSENT)


async def _dismissed(name: str, *, found: bool) -> bool:
    """Cut it off on the broker as well; True where it was there."""
    async with broker_side("its token is void; give the command again for the broker" if found else "") as side:
        if side is None or not is_word(name):
            return False
        if not side.managed and found:
            click.echo(
                f"The broker is not managed from here: if it has a user there, delete consumer-{name} and the queues "
                f"consumer.{name}.*",
                err=True,
            )
        return await side.dismiss(name)
