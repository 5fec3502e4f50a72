"""Decides what follows an attempt to deliver: when the mailbox is tried again, and how long the endpoint is spared.

It reads no clock and rolls no dice: `now` is an instant in UTC seconds, `luck` a number in [0, 1). It never gives up
one update to go on with the next: what cannot be delivered in the end stops the webhook.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from shared.contracts.values import DAY, Instant

# Standard Webhooks 1.0, "Deliverability and reliability": after the first attempt
PAUSES: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
LONGEST: Final = sum(PAUSES)  # seconds an endpoint may fail altogether before its webhook is disabled: 76 hours
MANY: Final = 5  # failures in a row, of whatever mailboxes: the endpoint itself is not well
FIRST_PAUSE: Final = 5
MOST_PAUSE: Final = 900  # seconds between two attempts at an endpoint that fails
MOST_ORDERED: Final = DAY  # the longest Retry-After that is obeyed
JITTER: Final = 0.1

DELIVERED: Final = "delivered"
GONE: Final = "gone"
THROTTLED: Final = "throttled"
EXHAUSTED: Final = "retries_exhausted"
FAILING: Final = "failing"
FORGOTTEN: Final = "position_forgotten"


class Attempt(Struct, frozen=True, kw_only=True):
    """How a request to an endpoint went: a fixed word, the HTTP status if one came, and the pause it asked for."""

    outcome: str
    status: int | None = None
    retry_after: int | None = None  # seconds
    duration_ms: int = 0


class Endpoint(Struct, frozen=True, kw_only=True):
    """How an endpoint does: failures in a row since `failing_since`; nothing is sent to it before `next_try_at`."""

    failures: int = 0
    failing_since: Instant | None = None
    next_try_at: Instant | None = None

    @property
    def ill(self) -> bool:
        """Say whether it is to be probed with one request at a time."""
        return self.failures >= MANY

    def paused(self, now: Instant) -> bool:
        """Say whether nothing may be sent to it now."""
        return self.next_try_at is not None and now < self.next_try_at


class Wait(Struct, frozen=True, kw_only=True):
    """One mailbox's update that could not be delivered: attempts made at it, and when it is tried next."""

    attempts: int
    first_at: Instant
    next_at: Instant


def outcome_of(status: int) -> str:
    """Return what an HTTP status says of a delivery: only 2xx is one, and redirects are not followed."""
    if 200 <= status < 300:
        return DELIVERED
    if status == 410:
        return GONE
    if status in {429, 502, 503, 504}:
        return THROTTLED
    if 300 <= status < 400:
        return "redirected"
    return "refused" if 400 <= status < 500 else "failed"


def endpoint_after(before: Endpoint, attempt: Attempt, *, now: Instant, luck: float) -> Endpoint:
    """Return how an endpoint does after an attempt: one success and it is well; a pause it asked for is kept."""
    if attempt.outcome == DELIVERED:
        return Endpoint(next_try_at=before.next_try_at if before.paused(now) else None)
    failures = before.failures + 1
    since = now if before.failing_since is None else before.failing_since
    return Endpoint(failures=failures, failing_since=since, next_try_at=_spared(before, attempt, now=now, luck=luck))


def wait_after(before: Wait | None, attempt: Attempt, *, now: Instant, luck: float) -> Wait | None:
    """Return when an update that was not delivered is tried next; None where it was tried for the last time.

    An endpoint that asked for patience has not judged the update: that attempt counts for nothing but the time.
    """
    tried = Wait(attempts=0, first_at=now, next_at=now) if before is None else before
    if attempt.outcome == THROTTLED:
        return None if now - tried.first_at > LONGEST else replace(tried, next_at=now + _ordered(attempt))
    if tried.attempts >= len(PAUSES) and now - tried.first_at >= LONGEST * (1 - JITTER):
        return None  # not sooner: whenever an endpoint is well again, what waits is tried out of turn
    pause = max(_jittered(PAUSES[min(tried.attempts, len(PAUSES) - 1)], luck), _ordered(attempt))
    return replace(tried, attempts=tried.attempts + 1, next_at=now + pause)


def given_up(endpoint: Endpoint, attempt: Attempt, wait: Wait | None, *, now: Instant) -> str | None:
    """Return why a webhook is disabled after an attempt that failed: a fixed word, None where it goes on."""
    if attempt.outcome == GONE:
        return GONE
    if endpoint.failing_since is not None and now - endpoint.failing_since > LONGEST:
        return FAILING
    return EXHAUSTED if wait is None else None


def _spared(before: Endpoint, attempt: Attempt, *, now: Instant, luck: float) -> Instant | None:
    """Return until when an endpoint is left alone after a failure, None where only the mailbox waits."""
    tolerated = 0 if attempt.outcome == THROTTLED else MANY - 1
    beyond = before.failures - tolerated
    if beyond < 0:
        return before.next_try_at
    pause = _jittered(min(FIRST_PAUSE << min(beyond, 16), MOST_PAUSE), luck)
    return max(now + max(pause, _ordered(attempt)), before.next_try_at or 0)


def _ordered(attempt: Attempt) -> int:
    return min(attempt.retry_after or 0, MOST_ORDERED)


def _jittered(pause: int, luck: float) -> int:
    return max(1, round(pause * (1 - JITTER + 2 * JITTER * luck)))
