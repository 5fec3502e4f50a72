"""`busyline sandbox`: Microsoft's stand-in as a process of its own."""

import asyncio
from pathlib import Path

import click

from deploy.command.context import console
from deploy.sandbox import Sandbox, SandboxOptions, start
from deploy.sandbox.worlds import EWS_PASSWORD_FILE, SECRET_FILE
from shared.process import stop_on_signals


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8443, show_default=True, type=click.IntRange(0, 65535))
@click.option("--mailboxes", default=25, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--events", default=40, show_default=True, type=click.IntRange(0, 10_000), help="Per mailbox.")
@click.option("--seed", default=1, show_default=True)
@click.option("--calendars", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--latency",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 60),
    help="Seconds added to every answer of Graph and EWS.",
)
@click.option("--folder", default=Path("var/sandbox"), show_default=True, type=click.Path(path_type=Path),
              help="Where its certificate authority and its secrets are kept.")  # fmt: skip
def sandbox(host: str, port: int, **options: object) -> None:
    """Run the sandbox: Entra sign-in, Graph and Exchange (EWS) over TLS.

    Its people are generated, or each of the .ics files is a calendar.
    """
    asyncio.run(_serve(SandboxOptions(host=host, port=port, **options)))  # type: ignore[arg-type]  # click checked them


async def _serve(options: SandboxOptions) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    running = await start(options)
    try:
        for name, value in told(running, options.folder):
            console.print(f"{name:>23}  {value}", highlight=False, soft_wrap=True, markup=False)
        for way in ways_in(running, options.folder):
            console.print(f"  busyline connect ORG {way}", style="dim", highlight=False, soft_wrap=True, markup=False)
        await stop.wait()
    finally:
        await running.stop()


def told(running: Sandbox, folder: Path) -> tuple[tuple[str, object], ...]:
    """Return what is needed to reach it, each with its name; of the account's password only where it lies."""
    return (
        ("BUSYLINE_SANDBOX_URL", running.url),
        ("BUSYLINE_CA_FILE", running.ca_file),
        ("BUSYLINE_REACH_NETWORKS", "127.0.0.0/8, for Exchange at this address"),
        ("tenant", running.tenant_id),
        ("client id", running.client_id),
        ("client secret", running.client_secret),
        ("control token", running.control_token),
        ("Exchange (EWS)", running.ews_url),
        ("service account", running.ews_user),
        ("its password", f"in {folder / EWS_PASSWORD_FILE}"),
        ("whom it may act as", f"the members of {running.ews_scope}"),
    )


def ways_in(running: Sandbox, folder: Path) -> tuple[str, ...]:
    """Return the options of `busyline connect`, for its tenant and for its Exchange server."""
    member = next((person.address for person in running.mailboxes(readable=True)), "ADDRESS")
    app = f"--tenant {running.tenant_id} --client-id {running.client_id} --client-secret-file {folder / SECRET_FILE}"
    account = f"--account '{running.ews_user}' --password-file {folder / EWS_PASSWORD_FILE}"
    return (
        f"--cloud sandbox {app}",
        f"--ews {running.ews_url} {account} --member {member} --from-group {running.ews_scope}",
    )
