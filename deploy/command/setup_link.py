"""`busyline setup-link`: a signed link to the setup page, as a platform makes it for an IT admin."""

import click

from deploy.command.actors import org_argument
from deploy.command.context import all_settings, deployment
from deploy.command.failures import Wrong
from services.authorizer.console import links
from services.authorizer.console.configured import setup_settings
from services.authorizer.console.place import SetupSettings
from services.authorizer.console.returning import may_return
from shared import clock


def _actor(_: click.Context, __: click.Parameter, value: str) -> str:
    if not 1 <= len(value) <= 320 or not value.isprintable():
        raise click.BadParameter("1 to 320 printable characters")
    return value


@click.command("setup-link")
@org_argument
@click.option("--actor", required=True, callback=_actor, help="Who will follow it, as the audit log is to name them.")
@click.option("--role", default=links.ROLE, show_default=True, help="Any other role sees a refusal.")
@click.option("--return-to", default="", help="Where the admin is led at the end, from the list that is set.")
@click.option("--minutes", default=10, show_default=True, type=click.IntRange(1, links.LONGEST // 60))
def setup_link(org: str, actor: str, *, role: str, return_to: str, minutes: int) -> None:
    """Print a link that opens the setup page for ORG: once, within some minutes.

    A platform makes such links itself, with a key of BUSYLINE_AUTHORIZER_SETUP_LINK_KEYS; see docs/setup.md.
    """
    told = _told()
    if return_to and not may_return(return_to, told.return_to):
        raise Wrong("--return-to is not at an address of BUSYLINE_AUTHORIZER_SETUP_RETURN_TO")
    token = links.signed(
        org,
        actor,
        key=told.link_keys[0],
        public_url=told.public_url,
        now=clock.now(),
        seconds=minutes * 60,
        return_to=return_to,
        role=role,
    )
    click.echo(links.address(token, told.public_url))


def _told() -> SetupSettings:
    deployment()  # refuses what is misspelt
    settings = all_settings().authorizer
    if not settings.setup_url:
        raise Wrong("there is no setup page: BUSYLINE_AUTHORIZER_SETUP_URL is not set")
    try:
        return setup_settings(settings)
    except ValueError as error:
        raise Wrong(str(error)) from None
