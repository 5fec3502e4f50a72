"""Makes the secrets that deliveries are signed with (Standard Webhooks 1.0), seals them, and signs with them.

A secret is shown to its consumer once; the store holds it sealed for the one webhook it belongs to.
"""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Row, select, update
from standardwebhooks import Webhook as Signer

from shared import logs
from shared.config import Secret
from shared.contracts.values import Instant
from shared.reach import reached
from shared.store import Store
from shared.tables import webhooks
from shared.vault import Vault, VaultError, load_vault

PREFIX: Final = "whsec_"
BYTES: Final = 32  # the specification asks for 24 to 64


class Keys:
    """The keys that seal secrets, read from their file when a webhook first needs them."""

    def __init__(self, file: str | Path) -> None:
        """Take the file; nothing is read yet."""
        self._file = Path(file)
        self._vault: Vault | None = None

    def vault(self) -> Vault:
        """Return the keys. Raises VaultError where there is no file of keys."""
        if self._vault is None:
            self._vault = load_vault(self._file)
        return self._vault

    def ready(self) -> bool:
        """Say whether secrets can be sealed and opened."""
        try:
            self.vault()
        except VaultError:
            return False
        return True


def fresh() -> Secret:
    """Return a new secret."""
    return Secret(PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode())


def sealed(vault: Vault, secret: Secret, webhook_id: str) -> bytes:
    """Seal a secret for its webhook."""
    return vault.seal(secret.reveal().encode(), about=_about(webhook_id))


def opened(vault: Vault, blob: bytes, webhook_id: str) -> Secret:
    """Open a secret of its webhook. Raises VaultError."""
    return Secret(vault.open(blob, about=_about(webhook_id)).decode())


def signed(body: bytes, message_id: str, signing: Sequence[Secret], *, now: Instant) -> dict[str, str]:
    """Return the headers of one attempt at `now`, signed with every secret given."""
    at, text = datetime.fromtimestamp(now, UTC), body.decode()
    signatures = [Signer(each.reveal()).sign(message_id, at, text) for each in signing]
    return {"webhook-id": message_id, "webhook-timestamp": str(now), "webhook-signature": " ".join(signatures)}


async def reseal(store: Store, keys: Keys) -> int:
    """Seal again under the newest key whatever is not, and return of how many webhooks. Raises Retry, VaultError.

    A webhook whose secret cannot be opened stays as it is: it is paused, and keeps no other under an old key.
    """
    async with reached(), store.write() as connection:
        rows = (await connection.execute(select(webhooks).order_by(webhooks.c.webhook_id).with_for_update())).all()
        if not rows:
            return 0
        vault = keys.vault()
        vault.look_again()
        resealed = 0
        for row in rows:
            if anew := _anew(vault, row):
                await connection.execute(update(webhooks).where(webhooks.c.webhook_id == row.webhook_id).values(anew))
                resealed += 1
    return resealed


def _anew(vault: Vault, row: Row[Any]) -> dict[str, bytes]:
    """Return the secrets of a webhook under the newest key; nothing where they are, or cannot be opened."""
    kept = {"secret": row.secret, "previous": row.previous}
    held = {name: blob for name, blob in kept.items() if blob is not None}
    try:
        if all(map(vault.is_newest, held.values())):
            return {}
        return {name: vault.rotate(blob, about=_about(row.webhook_id)) for name, blob in held.items()}
    except VaultError as error:
        logs.get("publisher").warning("webhook.paused", webhook=row.webhook_id, reason=error.reason)
        return {}


def _about(webhook_id: str) -> str:
    return f"webhook:{webhook_id}"
