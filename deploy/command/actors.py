"""Who does it and where that is written: the option `--actor`, and an entry in the audit log for each act."""

import getpass
import os
from collections.abc import Callable, Mapping
from typing import Any

import click
from sqlalchemy import select

from services.authorizer import audit
from services.authorizer.audit import DEPLOYMENT
from shared import clock
from shared.contracts.values import ORG_ID
from shared.store import Store
from shared.tables import audit as audit_log

_LONGEST = 320  # characters of an actor


def _operator() -> str:
    """Name the operator as the operating system does; in a container a user may have a number only."""
    try:
        return f"operator:{getpass.getuser()}"
    except (KeyError, OSError, ImportError):
        return f"operator:{os.getuid()}"


def _checked(_: click.Context, __: click.Parameter, value: str) -> str:
    if not 1 <= len(value) <= _LONGEST or not value.isprintable():
        raise click.BadParameter(f"1 to {_LONGEST} printable characters")
    return value


def actor_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that says who does it."""
    return click.option(
        "--actor",
        default=_operator,
        callback=_checked,
        show_default="operator:LOGIN",
        help="Who does this, for the audit log; better no address, for the entry is never deleted.",
    )(command)


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that answers what would be asked."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(command)


def org_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument that names an org."""
    return click.argument("org", callback=_org_checked)(command)


def _org_checked(_: click.Context, __: click.Parameter, value: str) -> str:
    if not ORG_ID.fullmatch(value):
        raise click.BadParameter("1 to 64 letters, digits, - or _")
    return value


async def record(
    store: Store, action: str, *, actor: str, chain: str = DEPLOYMENT, details: Mapping[str, str | int] = {}
) -> None:
    """Write an entry into the audit log, in a transaction of its own. `details` hold fixed words and numbers alone."""
    async with store.write() as writing:
        await audit.append(store, writing, chain=chain, actor=actor, action=action, details=details, now=clock.now())


async def ready(store: Store) -> None:
    """See that the audit log can be reached, before anything is done that would have to be written there."""
    async with store.read() as reading:
        await reading.execute(select(audit_log.c.entry).limit(1))
