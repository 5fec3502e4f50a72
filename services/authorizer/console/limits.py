"""Decides how often something may be tried: so many times within so many seconds, by whom and what for.

It lives in memory: of several processes each allows as much, and a restart forgets.
"""

from collections.abc import Callable
from typing import Final

from aiohttp import web
from msgspec import Struct

from services.authorizer.console.place import visit_of
from shared import clock

MOST_KEPT: Final = 10_000  # buckets; the ones not asked for longest are forgotten first


class Limit(Struct, frozen=True, kw_only=True):
    """A bucket of `most` tokens that fills up within `seconds`; `name` is what they are spent on."""

    name: str
    most: int
    seconds: float


TESTS: Final = Limit(name="tests", most=10, seconds=600)  # connections tried out
SIGN_INS: Final = Limit(name="sign_ins", most=20, seconds=600)  # journeys to Microsoft


class Limits:
    """The buckets in use, by limit and by whom."""

    def __init__(self, exact: Callable[[], float] = clock.exact) -> None:
        """Take the clock."""
        self._exact = exact
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}  # tokens left, when that was

    def take(self, limit: Limit, whose: str) -> float:
        """Spend a token; return 0.0, or after how many seconds there is one again."""
        now, key = self._exact(), (limit.name, whose)
        left, since = self._buckets.pop(key, (float(limit.most), now))
        left = min(float(limit.most), left + max(0.0, now - since) * limit.most / limit.seconds)
        spent = left >= 1
        while len(self._buckets) >= MOST_KEPT:
            self._buckets.pop(next(iter(self._buckets)))  # the one not asked for longest
        self._buckets[key] = (left - 1 if spent else left, now)
        return 0.0 if spent else (1 - left) * limit.seconds / limit.most


LIMITS: Final = web.AppKey("limits", Limits)


def spend(request: web.Request, limit: Limit) -> None:
    """Spend a token of the org that is signed in. Raises HTTPTooManyRequests, which says when to come again."""
    wait = request.app[LIMITS].take(limit, visit_of(request).org_id)
    if wait:
        raise web.HTTPTooManyRequests(headers={"Retry-After": str(int(wait) + 1)})
