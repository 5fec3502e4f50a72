"""`busyline app`: the deployment's own app registration, which admins meet on the setup page. Set it, look at it.

It shows nothing secret, and refuses a certificate that cannot sign in.
"""

import asyncio
import re
from pathlib import Path
from typing import Any, Final

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import select

from deploy.command import secret_files
from deploy.command.actors import actor_option, yes_option
from deploy.command.context import all_settings, console, deployment, opened_store
from deploy.command.failures import Wrong
from services.authorizer import orgs
from services.authorizer.console.microsoft_app import RETURNS
from services.authorizer.credentials import DEFAULT, form_of
from shared import clock
from shared.connections import credential_of
from shared.contracts.values import Instant
from shared.identity import GraphCredential
from shared.store import Store
from shared.tables import credentials
from shared.token_http import certificate_parts
from shared.vault import load_vault

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("app")
def app_() -> None:
    """Care for the deployment's own app registration, which organisations connect with on the setup page."""


@app_.command("set")
@click.option("--client-id", required=True, help="The application (client) id of the app registration.")
@click.option("--client-secret-file", type=_FILE)
@click.option("--certificate-file", type=_FILE, help="PEM with key.")
@yes_option
@actor_option
def set_(client_id: str, *, yes: bool, actor: str, **files: Path | None) -> None:
    """Store the app that the setup page signs admins in with; it is sealed under the name `default`.

    Organisations that are reached by it are read with the new secret or certificate from then on. Another app is
    another matter: each of them has to consent to it.
    """
    if not _GUID.fullmatch(client_id):
        raise Wrong("--client-id is a GUID: the application (client) id of the app registration's overview")
    credential = secret_files.app({"client_id": client_id.lower(), **files})
    if credential.certificate and _ends(credential.certificate) <= clock.now():
        raise Wrong("the certificate has expired")
    asyncio.run(_set(credential, actor=actor, yes=yes))
    console.print("[green]The app is stored.[/green] busyline app show")


async def _set(credential: GraphCredential, *, actor: str, yes: bool) -> None:
    vault = load_vault(deployment().keys_file)
    async with opened_store() as store:
        present = await credential_of(store, vault, DEFAULT, GraphCredential)
        count = await _reached(store)
        if present is not None and present.client_id.lower() != credential.client_id and count and not yes:
            click.confirm(f"{count} organisations are reached by another app; go on?", abort=True)
        await orgs.put_credential(store, vault, DEFAULT, credential, actor=actor, now=clock.now())


@app_.command("show")
def show() -> None:
    """Show which app is stored, and what its registration needs; never its secret."""
    asyncio.run(_show())


async def _show() -> None:
    vault = load_vault(deployment().keys_file)
    async with opened_store() as store:
        found = await credential_of(store, vault, DEFAULT, GraphCredential)
        if found is None:
            raise click.ClickException("no app is stored: busyline app set --client-id ID --certificate-file FILE")
        query = select(credentials.c.changed_at).where(credentials.c.credential_id == DEFAULT)
        async with store.read() as reading:
            stored_at = int((await reading.execute(query)).scalar_one())
        count = await _reached(store)
    ends = f", until {clock.moment(_ends(found.certificate))}" if found.certificate else ""
    facts: dict[str, Any] = {
        "client id": found.client_id,
        "signs in with": form_of(found).replace("_", " ") + ends,
        "stored": clock.moment(stored_at),
        "organisations": count,
    }
    for name, value in facts.items():
        console.print(f"{name:>14}  {value}", highlight=False, markup=False, soft_wrap=True)
    _show_redirects(all_settings().authorizer.setup_url)


def _show_redirects(setup_url: str) -> None:
    if not setup_url:
        console.print("There is no setup page: BUSYLINE_AUTHORIZER_SETUP_URL is not set.", style="dim")
        return
    console.print("Redirect addresses to register (platform: Web):")
    for path in RETURNS:
        console.print(f"  {setup_url}{path}", highlight=False, markup=False, soft_wrap=True)


async def _reached(store: Store) -> int:
    """Return how many organisations are reached by the deployment's app."""
    return sum(org.connection.credential == DEFAULT for org in await orgs.all_orgs(store))


def _ends(pem: str) -> Instant:
    """Return when a certificate expires. Raises Wrong where key or certificate cannot be used."""
    try:
        key, certificates = certificate_parts(pem)
        mine = load_pem_private_key(key.encode(), None)
        found = x509.load_pem_x509_certificate(certificates.encode())
    except (ValueError, TypeError):  # TypeError: the key has a passphrase
        raise Wrong(
            "the certificate file must hold one private key and its certificate, both as PEM and without a passphrase"
        ) from None
    if found.public_key() != mine.public_key():
        raise Wrong("the certificate file's key is not its certificate's")
    return int(found.not_valid_after_utc.timestamp())
