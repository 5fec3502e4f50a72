"""Decides how much may be asked about subscriptions now: so many a second, and nothing in vain of an org.

It is about sparing Microsoft and ourselves; when a row is due is not decided here.
"""

from collections.abc import Sequence
from math import ceil
from typing import Final

from services.fetcher.failure import PAUSED
from services.fetcher.keeping import Asked
from services.fetcher.plans import FORBIDDEN, UNREACHABLE, Step, refusal
from shared.contracts.values import Instant

ENOUGH: Final = 5  # answers alike that tell of the org, not of a mailbox
PROBE: Final = 20  # subscriptions tried once a brake is over
BRAKED: Final = {FORBIDDEN: 900, UNREACHABLE: 300}  # seconds
LONGEST_REST: Final = 300


class Budget:
    """A bucket of tokens, filled at `rate` a second up to two seconds' worth, at least one call's."""

    def __init__(self, rate: int) -> None:
        """Begin with one second's worth."""
        self._rate = rate
        self._most = float(max(2 * rate, PROBE))
        self._left = float(rate)
        self._at: float | None = None

    def left(self, ticks: float) -> int:
        """Return the tokens there are at a moment of a clock that only rises."""
        if self._at is not None:
            self._left = min(self._most, self._left + (ticks - self._at) * self._rate)
        self._at = ticks
        return int(self._left)

    def spend(self, tokens: int) -> None:
        """Take tokens away; a negative number gives back what was not needed."""
        self._left = min(self._most, self._left - tokens)


class Brakes:
    """Which orgs rest, and of which nothing new is made, because all that was tried just now failed alike."""

    def __init__(self) -> None:
        """Begin with none."""
        self._resting: dict[str, Instant] = {}
        self._braked: dict[str, Instant] = {}

    def rests(self, org_id: str, now: Instant) -> bool:
        """Say whether Microsoft asked to be left alone for this org."""
        return self._resting.get(org_id, now) > now

    def may_make(self, org_id: str, now: Instant) -> bool:
        """Say whether new subscriptions may be asked for."""
        return self._braked.get(org_id, now) <= now

    def most(self, org_id: str, wanted: int) -> int:
        """Return how many may be tried: once a brake is over, a few to see."""
        return min(wanted, PROBE) if org_id in self._braked else wanted

    def learn(self, org_id: str, asked: Sequence[Asked], now: Instant) -> None:
        """Take note of what Microsoft said."""
        waits = [answer.retry_after or 5.0 for _, _, answer in asked if answer.status == 429 or answer.code == PAUSED]
        if waits:
            self._resting[org_id] = now + min(ceil(max(waits)), LONGEST_REST)
        made = [answer for _, step, answer in asked if step is Step.CREATE]
        if any(200 <= answer.status < 300 for answer in made):
            self._braked.pop(org_id, None)
        alike = {refusal(Step.CREATE, answer) for answer in made}
        if len(alike) == 1 and (len(made) >= ENOUGH or org_id in self._braked):
            again = BRAKED.get(alike.pop())
            if again is not None:
                self._braked[org_id] = now + again
