"""The `busyline` command: one subcommand per service, and the operator's hands."""

import asyncio
import os

import click
from msgspec import Struct

from deploy.command import (
    app,
    auditing,
    boxes,
    changing,
    connecting,
    consumers,
    demonstration,
    disconnecting,
    erasing,
    letters,
    looking,
    privacy,
    resyncing,
    serving,
    setup_link,
    testing_connection,
    trying,
    verifying,
    webhooks,
)
from deploy.command.context import console, deployment
from deploy.command.everything import SETTINGS, prepare
from deploy.command.failures import DATABASE, Commands, reaching
from shared import config
from shared.config import Deployment, Secret


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="busyline")
def main() -> None:
    """Connect an organisation's Microsoft calendars once; tell other software when its people are free or busy.

    \b
    Try it:        busyline demo
    Run it:        busyline database upgrade, then busyline up (or one service a process)
    Connect:       busyline connect ORG --tenant TENANT --client-id ID --client-secret-file FILE
                   busyline test-connection --ews ..., busyline connect ORG --ews ...
    Setup page:    busyline app set --client-id ID ..., busyline setup-link ORG --actor WHO
    Let read:      busyline consumers add NAME --org ORG --amqp
    Look:          busyline status, busyline mailboxes ORG, busyline watch, busyline dead-letters list
    Change:        busyline policy set ORG ..., busyline resync ORG
    Leave:         busyline disconnect ORG, busyline receipt ORG, busyline verify-purge ORG

    Settings come from the environment; `busyline settings` explains every one.
    """  # noqa: D301 -- \b is click's mark for a paragraph it must not fill


@main.group()
def database() -> None:
    """Care for the database."""


@database.command("upgrade")
def database_upgrade() -> None:
    """Bring the schema up to date; safe to repeat, and to run from two places at once."""
    from shared.migrate import upgrade  # noqa: PLC0415 -- Alembic is needed by this command alone

    with reaching(DATABASE):
        upgrade(deployment().database_url.reveal())
    console.print("The schema is up to date.")


@main.command()
def settings() -> None:
    """List every setting: its name, its sentence, its default, and its present value with secrets starred."""
    present = deployment()
    sections: list[tuple[str, type[Struct]]] = [("", Deployment), *SETTINGS.items()]
    for section, kind in sections:
        values = present if not section else config.load(kind, os.environ, section)
        console.print(f"\n[bold]{section or 'every service'}[/bold]")
        for (name, sentence, default), field in zip(
            config.describe(kind, section), kind.__struct_fields__, strict=True
        ):
            console.print(f"  {name} = {_shown(getattr(values, field))}", highlight=False, markup=False)
            console.print(f"      {sentence} Default: {_shown(default)}.", style="dim", highlight=False, markup=False)


def _shown(value: object) -> str:
    """Write a value of a setting; a secret only says whether it is set."""
    if isinstance(value, Secret):
        return "***" if value else "(empty)"
    return "(empty)" if value == "" else str(value)


@main.command()
def up() -> None:
    """Run all four services in one process, from the settings.

    With the default settings this is the embedded form: the broker in memory, SQLite under var/. The schema is
    brought up to date and a key file is made where there is none.
    """
    ready = deployment()
    prepare(ready)
    asyncio.run(serving.up(ready))


for _command in (
    *serving.COMMANDS,
    demonstration.demo,
    trying.sandbox,
    connecting.connect,
    testing_connection.test_connection,
    disconnecting.disconnect,
    disconnecting.receipt,
    verifying.verify_purge,
    changing.policy,
    boxes.mailboxes_,
    resyncing.resync,
    resyncing.allow_removal,
    erasing.erase,
    auditing.audit,
    setup_link.setup_link,
    app.app_,
    consumers.consumers,
    webhooks.webhooks,
    connecting.keys,
    looking.status,
    looking.watch,
    letters.dead_letters,
    letters.broker_commands,
    privacy.verify_privacy,
):
    main.add_command(_command)
