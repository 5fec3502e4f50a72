"""Decides how long a pause is still waited for, on a replica whose clock may differ from that of whoever set it.

It refuses to wait for one pause longer than the longest ever set, by a clock that cannot be wrong: its own ticks.
"""

from services.fetcher.failure import LONG_PAUSE
from shared.contracts.values import Instant


class Patience:
    """The pauses met so far: until when each tenant's is, and when it was met first."""

    def __init__(self) -> None:
        """Begin with no pause met."""
        self._met: dict[str, tuple[Instant, float]] = {}

    def left(self, org_id: str, until: Instant, *, now: Instant, ticks: float) -> float:
        """Return the seconds left of a tenant's pause, 0 where there is none, or its patience has ended.

        `ticks` are the seconds of a clock that nobody sets.
        """
        if until <= now:
            self._met.pop(org_id, None)
            return 0.0
        met, since = self._met.get(org_id, (until, ticks))
        if met != until:
            since = ticks
        self._met[org_id] = (until, since)
        return max(0.0, min(float(until - now), LONG_PAUSE - (ticks - since)))
