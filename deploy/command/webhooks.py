"""`busyline webhooks`: what is delivered to consumers' endpoints, which of them were given up and why."""

import asyncio
from urllib.parse import urlsplit

import click
import msgspec
from rich.table import Table
from rich.text import Text

from deploy.command.actors import actor_option, ready, record
from deploy.command.context import console, opened_store
from services.publisher.webhooks import registry
from services.publisher.webhooks.asked import resumed_at
from services.publisher.webhooks.lease import ENABLED
from services.publisher.webhooks.registry import Webhook
from shared import clock

_ABSENT = "there is no webhook of that id; `busyline webhooks list` shows them"


@click.group()
def webhooks() -> None:
    """Look after the webhooks that consumers made."""


@webhooks.command("list")
@click.option("--consumer", help="Of this consumer alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(consumer: str | None, *, as_json: bool) -> None:
    """List webhooks and how they do. Of an endpoint its host is named: the path may be secret."""
    found = asyncio.run(_found(consumer))
    if as_json:
        for webhook in found:
            click.echo(msgspec.json.encode(_row(webhook)).decode())
        return
    table = Table(box=None, header_style="bold")
    for title in ("id", "consumer", "host", "how it does"):
        table.add_column(title, overflow="fold", no_wrap=title == "id")
    for webhook in found:
        table.add_row(*map(Text, (webhook.webhook_id, webhook.consumer, _host(webhook), _does(webhook))))
    console.print(table)


@webhooks.command("enable")
@click.argument("webhook")
@actor_option
def enable(webhook: str, *, actor: str) -> None:
    """Deliver to WEBHOOK again, from where it was; where the log does not reach back so far, from its end."""

    async def work() -> bool:
        async with opened_store() as store:
            await ready(store)
            for found in await registry.of(store, webhook_id=webhook):
                position = await resumed_at(store, found)
                await registry.enable(store, webhook, position=position, now=clock.now())
                await record(store, "webhook.enabled", actor=actor, details={"webhook": webhook})
                return position is not None
        raise click.ClickException(_ABSENT)

    if asyncio.run(work()):
        click.echo("It goes on at the log's end: its consumer has to take a snapshot.")


@webhooks.command("disable")
@click.argument("webhook")
@actor_option
def disable(webhook: str, *, actor: str) -> None:
    """Deliver nothing more to WEBHOOK until it is enabled; its consumer sees the reason `operator`."""

    async def work() -> None:
        async with opened_store() as store:
            await ready(store)
            if not await registry.of(store, webhook_id=webhook):
                raise click.ClickException(_ABSENT)
            await registry.disable(store, webhook, "operator")
            await record(store, "webhook.disabled", actor=actor, details={"webhook": webhook})

    asyncio.run(work())


async def _found(consumer: str | None) -> list[Webhook]:
    async with opened_store() as store:
        return await registry.of(store, consumer)


def _does(webhook: Webhook) -> str:
    if webhook.state != ENABLED:
        return f"disabled: {webhook.reason}"
    since = "" if webhook.failing_since is None else f", failing since {clock.moment(webhook.failing_since)}"
    return f"delivered up to {webhook.position}, {webhook.waiting} mailboxes wait{since}"


def _host(webhook: Webhook) -> str:
    return urlsplit(webhook.url).hostname or ""


def _row(webhook: Webhook) -> dict[str, object]:
    return {
        "id": webhook.webhook_id,
        "consumer": webhook.consumer,
        "host": _host(webhook),
        "orgs": webhook.orgs,
        "state": webhook.state,
        "reason": webhook.reason,
        "position": webhook.position,
        "waiting": webhook.waiting,
        "failures": webhook.failures,
        "failing_since": None if webhook.failing_since is None else clock.moment(webhook.failing_since),
    }
