"""Prepares a database and a key file for the services, once: the schema, a role for each service, its password.

`python -m deploy.prepare` reads BUSYLINE_DATABASE_URL (of the database's owner), BUSYLINE_KEYS_FILE, a file of the
publisher's own in BUSYLINE_PUBLISHER_KEYS_FILE, and a password for each role from PASSWORD_<SERVICE>. Safe to repeat.
It refuses to leave a role without a password and prints none.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from deploy.command.everything import prepare
from services.publisher.settings import Settings as PublisherSettings
from shared import config
from shared.config import Deployment
from shared.vault import load_vault

ROLES = Path(__file__).parent / "postgres" / "roles.sql"
SERVICES = ("authorizer", "fetcher", "publisher")  # the normalizer has no database
PREFIX = "PASSWORD_"
ROUNDS = 4096  # PostgreSQL's own default for SCRAM


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Prepare everything. Returns 0, or 2 where a setting is missing."""
    missing = [name for name in SERVICES if not environ.get(PREFIX + name.upper())]
    if missing:
        sys.stderr.write(f"a password is missing: {', '.join(PREFIX + name.upper() for name in missing)}\n")
        return 2
    try:
        deployment = config.load(Deployment, environ)
        webhooks = config.load(PublisherSettings, environ, "publisher").keys_file
    except config.SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    prepare(deployment)
    if webhooks:
        load_vault(webhooks, create=True)
    url = deployment.database_url.reveal()
    if url.startswith("postgres"):
        asyncio.run(grant(url, {name: environ[PREFIX + name.upper()] for name in SERVICES}))
    sys.stderr.write("The schema, the roles and the key file are ready.\n")
    return 0


async def grant(url: str, passwords: Mapping[str, str]) -> None:
    """Make the roles with their grants (roles.sql) and set their passwords, by service."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain, timeout=30)
    try:
        async with connection.transaction():
            await connection.execute(ROLES.read_text(encoding="utf-8"))
            for name, password in passwords.items():
                known = verifier(password, secrets.token_bytes(16))
                await connection.execute(f"ALTER ROLE {role(name)} LOGIN PASSWORD '{known}'")
    finally:
        await connection.close()


def role(service: str) -> str:
    """Return the name of a service's role."""
    return f"busyline_{service}"


def verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL keeps of a password (RFC 5803), so that the password itself reaches no server log."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(ROUNDS, *parts)


if __name__ == "__main__":
    sys.exit(main())
