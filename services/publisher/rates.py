"""Decides whether one more request is within a rate: a bucket of tokens that fills evenly and holds a burst at most.

Pure: a bucket is one number, the instant at which it is full again, in nanoseconds of any clock that only goes forward.
"""

from collections.abc import Hashable
from typing import Final

from msgspec import Struct

SECOND: Final = 1_000_000_000
MOST_KEPT: Final = 10_000  # buckets of one kind; full ones are forgotten first


class Rate(Struct, frozen=True, kw_only=True):
    """So many requests a minute for as long as one likes, and up to `burst` at once after a rest."""

    per_minute: int
    burst: int

    @property
    def each(self) -> int:
        """Nanoseconds until one request more is allowed."""
        return 60 * SECOND // self.per_minute

    @property
    def window(self) -> int:
        """Seconds in which an empty bucket is full again."""
        return _seconds(self.burst * self.each)


class Verdict(Struct, frozen=True):
    """Whether a request is allowed, and how many more would be at once.

    `wait` is seconds: until the bucket is full, or after a refusal until the next request is allowed.
    """

    allowed: bool
    left: int
    wait: int


def take(rate: Rate, full_at: int, now: int) -> tuple[Verdict, int]:
    """Take one request out of a bucket, and return the verdict with the bucket as it is afterwards.

    A request that is refused takes nothing.
    """
    begin = max(full_at, now)
    over = begin + rate.each - now - rate.burst * rate.each
    if over > 0:
        return Verdict(allowed=False, left=0, wait=max(1, _seconds(over))), begin
    missing = begin + rate.each - now
    left = rate.burst - -(-missing // rate.each)
    return Verdict(allowed=True, left=left, wait=_seconds(missing)), begin + rate.each


def fields(rate: Rate, verdict: Verdict) -> dict[str, str]:
    """Return the header fields that tell it, by draft-ietf-httpapi-ratelimit-headers: the policy, and how it stands.

    `q` requests in `w` seconds; `r` are left, `t` seconds until all are again, or until the next one after a refusal.
    """
    return {
        "RateLimit-Policy": f'"requests";q={rate.burst};w={rate.window}',
        "RateLimit": f'"requests";r={verdict.left};t={verdict.wait}',
    }


class Buckets:
    """The buckets of one rate, one for each key; state of this process alone."""

    def __init__(self, rate: Rate) -> None:
        """Take the rate; every bucket begins full."""
        self.rate = rate
        self._full_at: dict[Hashable, int] = {}

    def take(self, key: Hashable, now: int) -> Verdict:
        """Take one request out of a key's bucket."""
        verdict, self._full_at[key] = take(self.rate, self._full_at.get(key, now), now)
        if len(self._full_at) > MOST_KEPT:
            self._forget()
        return verdict

    def verdict(self, key: Hashable, now: int) -> Verdict:
        """Return what would be said of one request more, and take nothing."""
        return take(self.rate, self._full_at.get(key, now), now)[0]

    def _forget(self) -> None:
        """Forget the half that is full, or will be first."""
        emptiest = sorted(self._full_at.items(), key=lambda each: each[1])[MOST_KEPT // 2 :]
        self._full_at = dict(emptiest)


def _seconds(nanoseconds: int) -> int:
    return -(-nanoseconds // SECOND)
