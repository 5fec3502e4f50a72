"""Learns when people work whose mailboxes are read with details: only free and busy times tell it, those of any day.

It refuses to fail anything, and keeps nothing of the times told beside. Hours not learned stay as they were known.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from services.fetcher.exchange_batches import MOST, Told
from services.fetcher.exchange_reading import hours_told
from shared.contracts.values import DAY, Instant, Window, WorkingHours
from shared.ews.errors import EwsError
from shared.identity import IdentityError

Ask = Callable[[Sequence[str], Window], Awaitable[Mapping[str, Told | EwsError]]]

_TRIALS: Final = 2  # requests that come to nothing, after which nobody else is asked about


class Hours:
    """What one enumeration has found out about asking: whether it goes on."""

    def __init__(self, ask: Ask) -> None:
        """Take what asks for the free and busy times of up to a hundred mailboxes."""
        self._ask = ask
        self._failed = 0

    async def of(self, zones: Mapping[str, str], *, now: Instant) -> dict[str, WorkingHours]:
        """Return the hours of those mailboxes that tell them, by address; `zones` has each one's zone, or ""."""
        found: dict[str, WorkingHours] = {}
        addresses = list(zones)
        for start in range(0, len(addresses), MOST):
            told = await self._told(addresses[start : start + MOST], Window(now - now % DAY, now - now % DAY + DAY))
            hours = {name: hours_told(each, zones[name], now) for name, each in told.items()}
            found |= {name: each for name, each in hours.items() if each is not None}
        return found

    async def _told(self, addresses: Sequence[str], day: Window) -> dict[str, Told]:
        if self._failed >= _TRIALS:
            return {}
        try:
            answers = await self._ask(addresses, day)
        except (EwsError, IdentityError):
            answers = {}
        told = {name: each for name, each in answers.items() if isinstance(each, Told)}
        self._failed = 0 if told else self._failed + 1
        return told
