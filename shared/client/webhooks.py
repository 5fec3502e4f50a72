"""Verifies a webhook's request by the Standard Webhooks specification 1.0, and reads the update it brings.

It refuses what is not signed with one of the secrets, and what was signed more than five minutes ago.
"""

from collections.abc import Mapping, Sequence

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from shared.client.errors import NotVerified
from shared.client.updates import Update, update_of


def verified(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> Update | None:
    """Return the update that a request brings; None where its event is of another type, such as a test.

    `body` is as it came, byte by byte; `secrets` are all that hold at present (`whsec_...`), so two while one is
    changed. Raises NotVerified, and Unreadable where a request that is verified holds no update.
    """
    if not any(_signed(headers, body, secret) for secret in secrets):
        raise NotVerified("not_verified")
    return update_of(body)


def _signed(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (
        WebhookVerificationError,
        EmptyWebhookSecretError,
        ValueError,
    ):  # a signature or a body that is no text is not signed either
        return False
    return True
