"""`busyline sandbox`: Microsoft's stand-in as a process of its own."""

import asyncio
from pathlib import Path

import click

from deploy.command.context import console
from deploy.sandbox import SandboxOptions, start
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
    help="Seconds added to every Graph answer.",
)
@click.option("--folder", default=Path("var/sandbox"), show_default=True, type=click.Path(path_type=Path),
              help="Where its certificate authority is kept.")  # fmt: skip
def sandbox(host: str, port: int, **options: object) -> None:
    """Run the sandbox: Entra sign-in and Graph over TLS, with generated people or calendars from .ics files."""
    asyncio.run(_serve(SandboxOptions(host=host, port=port, **options)))  # type: ignore[arg-type]  # click checked them


async def _serve(options: SandboxOptions) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    running = await start(options)
    try:
        for name, value in (
            ("BUSYLINE_SANDBOX_URL", running.url),
            ("BUSYLINE_CA_FILE", running.ca_file),
            ("tenant", running.tenant_id),
            ("client id", running.client_id),
            ("client secret", running.client_secret),
            ("control token", running.control_token),
        ):
            console.print(f"{name:>22}  {value}", highlight=False, soft_wrap=True)
        console.print("  connect with: busyline connect ORG --cloud sandbox --tenant ... --client-id ...", style="dim")
        await stop.wait()
    finally:
        await running.stop()
