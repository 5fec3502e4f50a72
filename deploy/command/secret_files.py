"""Secrets come from files or are typed unseen; nothing on a command line is one, for others can read it there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from deploy.command.failures import Wrong
from shared.identity import GraphCredential

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_APP: Final = (
    click.option("--tenant", help="The customer's tenant: its GUID or a domain of it."),
    click.option("--cloud", default="global", show_default=True, help="Microsoft's cloud, such as us_government."),
    click.option("--client-id", help="The application (client) id of the app registration."),
    click.option("--client-secret-file", type=_FILE),
    click.option("--certificate-file", type=_FILE, help="PEM with key."),
)


def app_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe an app and its tenant."""
    for option in reversed(_APP):
        command = option(command)
    return command


def text_of(file: Path) -> str:
    """Return what a file holds; a usage error where it is no text or empty."""
    try:
        found = file.read_text(encoding="utf-8-sig")  # editors of Windows begin a file with a mark
    except UnicodeDecodeError:
        raise Wrong(f"{file} is not a text file") from None
    if not found.strip():
        raise Wrong(f"{file} is empty")
    return found


def password(file: object, *, of: str) -> str:
    """Return a password: the first line of a file, or what is typed. A usage error where that line is empty."""
    if isinstance(file, Path):
        first = text_of(file).splitlines()[0]
        if not first:
            raise Wrong(f"{file} begins with an empty line; the password is its first line")
        return first
    typed: str = click.prompt(f"Password of {of}", hide_input=True, err=True)
    return typed


def app(options: dict[str, object]) -> GraphCredential:
    """Return what an app signs in with, from the options that name its files."""
    secret, certificate = options["client_secret_file"], options["certificate_file"]
    if (secret is None) == (certificate is None):
        raise Wrong("give --client-secret-file or --certificate-file, one of them")
    return GraphCredential(
        client_id=str(options["client_id"]),
        client_secret=text_of(secret).strip() if isinstance(secret, Path) else "",
        certificate=text_of(certificate) if isinstance(certificate, Path) else "",
    )
