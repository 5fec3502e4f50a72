"""Learns the time zones of an Exchange organisation's mailboxes, from the one of their settings that holds it.

It refuses to fail anything: a zone not learned is tried again by the next enumeration, and published as UTC meanwhile.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from services.fetcher.exchange_asks import Asks
from services.fetcher.exchange_fate import SHARED
from services.fetcher.failure import PAUSED
from shared.ews.envelopes import user_options
from shared.ews.errors import EwsError
from shared.ews.people import time_zone
from shared.identity import IdentityError

TRIALS: Final = 5  # mailboxes asked first; where none may be asked, nobody else is
AT_ONCE: Final = 8
LONGEST: Final = 128  # characters of a zone's name

_NOT_SET: Final = (
    "ErrorItemNotFound"  # a mailbox that was never opened in a browser: the operation and the right are there
)
_LACKING: Final = frozenset(
    {
        "ErrorInvalidRequest", "ErrorInvalidOperation", "ErrorSchemaValidation", "ErrorUnsupportedPropertyDefinition",
        "ErrorAccessDenied", "ErrorImpersonateUserDenied", "ErrorImpersonationDenied", "ErrorImpersonationFailed",
        "forbidden", "not_found", "redirected", "http_error", "not_xml", "malformed",
    }
)  # fmt: skip
_OVER: Final = frozenset(
    {
        "ErrorServerBusy", "ErrorExceededConnectionCount", "ErrorTooManyObjectsOpened",
        "ErrorInternalServerTransientError", "sign_in_refused", "name_unknown", "address_refused", "unreachable",
        "timeout", "not_trusted", "not_tls", "no_scheme", "network", PAUSED, SHARED,
    }
)  # fmt: skip


class Zones:
    """What one enumeration has found out about asking: whether it goes at all."""

    def __init__(self, asks: Asks) -> None:
        """Take the server to ask."""
        self._asks = asks
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._goes = False
        self._over = False
        self._lacking = 0

    async def of(self, addresses: Sequence[str]) -> dict[str, str]:
        """Return the zones (Windows or IANA names) of those mailboxes that have one, by address."""
        found: dict[str, str] = {}
        rest = list(addresses)
        while rest and not self._over:
            count = len(rest) if self._goes else max(1, TRIALS - self._lacking)
            part, rest = rest[:count], rest[count:]
            zones = await asyncio.gather(*(self._ask(address) for address in part))
            found |= {address: zone for address, zone in zip(part, zones, strict=True) if zone}
        return found

    async def _ask(self, address: str) -> str:
        async with self._limit:
            if self._over:
                return ""
            try:
                zone = await self._asks.ask(user_options(address), time_zone)
            except EwsError as error:
                self._note(error.code)
                return ""
            except IdentityError:
                self._over = True
                return ""
        self._goes = True
        return zone[:LONGEST]

    def _note(self, code: str) -> None:
        """Learn from a refusal; a mailbox's own trouble says nothing about the others."""
        self._goes = self._goes or code == _NOT_SET
        self._lacking += code in _LACKING
        self._over = self._over or code in _OVER or (not self._goes and self._lacking >= TRIALS)
