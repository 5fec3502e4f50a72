"""Connecting an organisation, rotating keys: what changes what we may read."""

import asyncio

import click
import msgspec

from deploy.command.actors import actor_option, record
from deploy.command.context import console, deployment, opened_store
from deploy.command.exchange_options import exchange_connection, exchange_credential, exchange_options, is_exchange
from deploy.command.failures import OVERTAKEN, Wrong
from deploy.command.policies import policy, policy_options
from deploy.command.secret_files import app, app_options
from services.authorizer import orgs
from shared import clock, clouds
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy, Scope
from shared.contracts.values import ORG_ID, Window
from shared.store import Store
from shared.vault import load_vault

PATIENCE = 120  # seconds; verification takes a few


@click.command()
@click.argument("org")
@app_options
@exchange_options
@click.option(
    "--group",
    "groups",
    multiple=True,
    help="Read only members of this group (object id; an address at an Exchange server); repeatable.",
)
@click.option("--include", multiple=True, help="Read this address too; repeatable.")
@click.option("--exclude", multiple=True, help="Never read this address; repeatable.")
@click.option("--no-rooms", is_flag=True, help="Leave rooms out.")
@click.option("--conferencing", is_flag=True, help="Under details: publish join links.")
@policy_options
@actor_option
def connect(org: str, *, actor: str, **options: object) -> None:
    """Connect ORG (the platform's id of an organisation), and say what came of it.

    \b
    Microsoft 365:       --tenant, --client-id and a secret or certificate
    An Exchange server:  --ews, --account, --member and whose calendars are read

    A secret is read from a file or typed, never taken from the command line, and is sealed before it is stored.
    `busyline test-connection` tries an Exchange server without storing anything.
    """  # noqa: D301 -- \b is click's mark for a paragraph it must not fill
    if not ORG_ID.match(org):
        raise Wrong("ORG is 1 to 64 letters, digits, - or _")
    asyncio.run(_connect(org, options, actor=actor))


async def _connect(org: str, options: dict[str, object], *, actor: str) -> None:
    ready = deployment()
    name = orgs.credential_name(org)
    with_exchange = is_exchange(options)
    connection = exchange_connection(name, options) if with_exchange else _connection(name, options)
    credential, wanted = exchange_credential(options) if with_exchange else app(options), _policy(options)
    vault = load_vault(ready.keys_file)
    async with opened_store() as store:
        await orgs.put_credential(store, vault, name, credential, org_id=org, actor=actor, now=clock.now())
        try:
            if not await orgs.request(
                store, org_id=org, connection=connection, policy=wanted, actor=actor, now=clock.now()
            ):
                raise click.ClickException(OVERTAKEN)
            with console.status(f"verifying with {'the server' if with_exchange else 'Microsoft'} ..."):
                await _outcome(store, org)
        finally:
            await orgs.forget_unused(store, org)


def _connection(name: str, options: dict[str, object]) -> GraphConnection:
    """Build the connection, checked before anything is stored: what cannot be a tenant or a cloud is refused."""
    if not (options["tenant"] and options["client_id"]):
        raise Wrong("give --tenant and --client-id for Microsoft 365, or --ews for an Exchange server")
    wanted = GraphConnection(tenant_id=str(options["tenant"]).lower(), credential=name, cloud=str(options["cloud"]))
    if wanted.cloud not in clouds.NAMES:
        raise Wrong(f"--cloud is one of {', '.join(clouds.NAMES)}")
    try:
        return msgspec.json.decode(msgspec.json.encode(wanted), type=GraphConnection)
    except msgspec.ValidationError:
        raise Wrong("--tenant is a GUID or a domain name") from None


def _policy(options: dict[str, object]) -> Policy:
    def lower(name: str) -> tuple[str, ...]:
        found = options[name]
        return tuple(str(address).lower() for address in found) if isinstance(found, tuple) else ()

    window = options["window"]
    return policy(
        str(options["detail"]),
        show_free=bool(options["show_free"]),
        window=window if isinstance(window, Window) else None,
        conferencing=bool(options["conferencing"]),
        scope=Scope(
            groups=lower("groups"), include=lower("include"), exclude=lower("exclude"), rooms=not options["no_rooms"]
        ),
    )


async def _outcome(store: Store, org_id: str) -> None:
    """Wait for the authorizer's verdict; a refusal is an error with the admin's sentence."""
    end = clock.now() + PATIENCE
    while clock.now() < end:
        state = await orgs.org(store, org_id)
        if state is None or state.pending:
            await asyncio.sleep(0.3)
            continue
        if state.reason is None:
            console.print(
                f"[green]{org_id} is connected[/green]: its mailboxes are being read. busyline status {org_id}"
            )
            return
        stays = "connected" if state.state == "connected" else "as much in need of attention"
        kept = "" if state.state == "refused" else f"\n{org_id} stays {stays} as it was."
        raise click.ClickException(f"{state.reason}: {state.sentence}{kept}")
    raise click.ClickException(
        "no authorizer has answered; is `busyline up` or `busyline authorizer` running on this database? "
        "The request stays stored and is taken up when it is."
    )


@click.group()
def keys() -> None:
    """Care for the keys that seal credentials."""


@keys.command("rotate")
@actor_option
def rotate(*, actor: str) -> None:
    """Put a fresh key first in the key file and seal every credential again under it.

    Webhooks' secrets under the same file are sealed again by the publisher, within ten minutes while it runs.
    """
    ready = deployment()

    async def work() -> int:
        vault = load_vault(ready.keys_file, rotate=True)
        async with opened_store() as store:
            count = await orgs.reseal(store, vault, now=clock.now())
            await record(store, "key.rotated", actor=actor, details={"credentials": count})
            return count

    click.echo(
        f"{asyncio.run(work())} credentials sealed under the new key, which running services take up by themselves; "
        "the old lines of the key file are no longer needed, except for webhooks' secrets: a publisher seals them anew "
        "within ten minutes"
    )
