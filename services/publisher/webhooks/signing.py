"""Makes the secrets that deliveries are signed with (Standard Webhooks 1.0), seals them, and signs with them.

A secret is shown to its consumer once; the store holds it sealed for the one webhook it belongs to.
"""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import select, update
from standardwebhooks import Webhook as Signer

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
    """Seal again under the newest key whatever is not, and return of how many webhooks. Raises Retry, VaultError."""
    async with reached(), store.write() as connection:
        rows = (await connection.execute(select(webhooks).order_by(webhooks.c.webhook_id).with_for_update())).all()
        if not rows:
            return 0
        vault = keys.vault()
        vault.look_again()
        old = [row for row in rows if not all(vault.is_newest(each) for each in (row.secret, row.previous) if each)]
        for row in old:
            about = _about(row.webhook_id)
            anew = {
                "secret": vault.rotate(row.secret, about=about),
                "previous": None if row.previous is None else vault.rotate(row.previous, about=about),
            }
            await connection.execute(update(webhooks).where(webhooks.c.webhook_id == row.webhook_id).values(anew))
    return len(old)


def _about(webhook_id: str) -> str:
    return f"webhook:{webhook_id}"
