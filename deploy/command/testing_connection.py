"""`busyline test-connection`: tries an Exchange server step by step, as it would be read, and stores nothing."""

import asyncio
import sys
from typing import Final

import click
from rich.text import Text

from deploy.command.context import console, deployment
from deploy.command.exchange_options import exchange_connection, exchange_credential, exchange_options, is_exchange
from deploy.command.failures import Wrong
from deploy.command.secret_files import app_options
from services.authorizer.exchange import Trial
from services.authorizer.exchange_doors import Question, exchange
from services.authorizer.preflight import EVERYTHING, NEEDED, Step
from shared import clock, clouds
from shared.config import Deployment
from shared.contracts.policy import Detail
from shared.ews.dialling import Surroundings, surroundings
from shared.identity import Tokens

_MARKS: Final = {True: ("✓", "green"), False: ("✗", "red"), None: ("!", "yellow")}


@click.command("test-connection")
@app_options
@exchange_options
@click.option("--policy", "detail", type=click.Choice([detail.value for detail in Detail]),
              help="What must work: what this policy needs. Without it, everything.")  # fmt: skip
def test_connection(**options: object) -> None:
    """Try an Exchange server: each step with ✓, ✗ or ! and what an admin must do; nothing is stored.

    The password is sent once, whatever comes of it. Exit 0 only if nothing failed.
    """
    if not is_exchange(options):
        raise Wrong("give --ews: it is Exchange servers that are tried")
    failed = asyncio.run(_tried(options))
    if failed:
        console.print(f"\n{'One step' if failed == 1 else f'{failed} steps'} failed; nothing was stored.", style="red")
        sys.exit(1)
    console.print(
        "\n[green]Everything that is needed works.[/green] Connect it: busyline connect ORG with the same options."
    )


async def _tried(options: dict[str, object]) -> int:
    """Take the steps and show each as it ends; return how many failed."""
    ready = deployment()
    connection = exchange_connection("default", options)
    around = _around(ready)
    question = Question(
        connection=connection,
        credential=exchange_credential(options),
        cloud=clouds.cloud(connection.cloud, sandbox_url=ready.sandbox_url),
        needs=NEEDED[Detail(str(options["detail"]))] if options["detail"] else EVERYTHING,
    )
    tokens, failed = Tokens(ca_file=ready.ca_file), 0
    try:
        async for step in Trial(question, exchange(tokens, around)).steps(clock.now()):
            show(step)
            failed += step.ok is False
    finally:
        tokens.close()
    return failed


def _around(ready: Deployment) -> Surroundings:
    """Return what connections are made with; a usage error names the setting that is wrong."""
    try:
        surroundings(ready.ca_file, "")
    except ValueError:
        raise Wrong("the file named by BUSYLINE_CA_FILE cannot be read, or holds no certificate") from None
    try:
        return surroundings(ready.ca_file, ready.reach_networks)
    except ValueError:
        raise Wrong("BUSYLINE_REACH_NETWORKS is not a list of networks such as 127.0.0.0/8") from None


def show(step: Step) -> None:
    """Print one step: its mark, its name, what was found, and the sentence below."""
    mark, style = _MARKS[step.ok]
    line = Text.assemble((f"{mark} ", style), (step.title, "bold"))
    if step.found:
        line.append(f"  {step.found}", style="dim")
    console.print(line, highlight=False, soft_wrap=True)
    if step.reason:
        console.print(Text(f"    {step.reason}: {step.sentence}", style=style), highlight=False, soft_wrap=True)
