"""What a process does first whose broker forgot everything when the last process ended: all that was under way, anew.

Doing it once too often costs readings, never correctness. Enumerations are the authorizer's to ask for again.
"""

from typing import Final

from services.fetcher.context import Context, unreadable
from shared.broker import Broker
from shared.contracts.values import Instant

PAGE: Final = 500


async def recover(context: Context, broker: Broker, now: Instant) -> None:
    """Free every lease, make every polled mailbox due, and say again, under the same version, who is unreadable."""
    await context.mailboxes.begin_anew(now)
    after = ("", "")
    while found := await context.mailboxes.unreadable_after(after, PAGE):
        messages = [
            unreadable(row, generation=generation, as_of=now, bucket=row.bucket, reason=row.reason or "unknown")
            for row, generation in found
        ]
        await broker.publish(messages)
        last, _ = found[-1]
        after = (last.org_id, last.mailbox_id)
