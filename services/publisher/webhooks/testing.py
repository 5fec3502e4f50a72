"""Sends a test event to an endpoint, by the same path as an update, and notes how it went; it lies in no log."""

import secrets
from typing import Final

import msgspec

from services.publisher.moments import moment
from services.publisher.webhooks import registry
from services.publisher.webhooks.answers import TestData, TestEvent
from services.publisher.webhooks.delivery import Post, signing_secrets
from services.publisher.webhooks.registry import Webhook
from services.publisher.webhooks.retries import Attempt
from services.publisher.webhooks.signing import signed

TEST: Final = 0  # in the place of a position


async def tested(post: Post, webhook: Webhook) -> Attempt:
    """Send a test event and return how it went. Raises Retry, and VaultError where the secret cannot be opened."""
    now = int(post.now())
    event_id = f"test_{secrets.token_hex(12)}"
    event = TestEvent(
        id=event_id,
        subject=webhook.webhook_id,
        time=moment(now),
        data=TestData(webhook=webhook.webhook_id),
    )
    body = msgspec.json.encode(event)
    signing = signing_secrets(post.keys, webhook, now=now)
    attempt = await post.sender.send(webhook.url, body, signed(body, event_id, signing, now=now))
    row = {
        "webhook_id": webhook.webhook_id,
        "position": TEST,
        "at": now,
        "attempt": 1,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "duration_ms": attempt.duration_ms,
    }
    await registry.note(post.store, row)
    return attempt
