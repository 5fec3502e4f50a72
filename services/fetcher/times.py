"""Decides when a mailbox is read next: after its interval and soon after the UTC day rolls, or after a growing pause.

It reads no clock and knows no store.
"""

import zlib
from typing import Final

from shared.contracts.policy import Policy
from shared.contracts.values import DAY, Instant

FIRST_PAUSE: Final = 900  # seconds until a failing mailbox is tried again; doubles up to:
LONGEST_PAUSE: Final = 6 * 3600
SPREAD: Final = 3600  # the roll of the day is spread over at most so many seconds


def interval(now: Instant, policy: Policy, subscribed_until: Instant | None) -> int:
    """Return the seconds until a mailbox is read again without a hint.

    The long interval counts while hints are promised, and not much longer: where the promise ends before it, the
    mailbox is read when the promise ends.
    """
    if subscribed_until is None or subscribed_until <= now:
        return policy.poll_seconds
    promised = max(subscribed_until - now, policy.poll_seconds)
    return max(1, min(policy.poll_seconds_subscribed, promised))


def next_due(now: Instant, seconds: int, mailbox_id: str) -> Instant:
    """Return when a mailbox is read next: after so many seconds, and soon after the UTC day rolls, as the window does.

    The roll is spread over the interval or an hour, evenly by mailbox, the same for a mailbox every day.
    """
    midnight = now - now % DAY + DAY
    spread = zlib.crc32(mailbox_id.encode()) % max(1, min(seconds, SPREAD))
    return min(now + seconds, midnight + spread)


def next_try(now: Instant, failures: int) -> Instant:
    """Return when a failing mailbox is tried again, `failures` in a row behind it."""
    return now + min(LONGEST_PAUSE, FIRST_PAUSE << min(max(failures, 0), 10))
