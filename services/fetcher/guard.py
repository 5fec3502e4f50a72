"""Decides whether a sweep may remove what it would: a directory half empty is more often a mistake than a mass leaving.

It refuses to hold a few up: somebody leaves a small organisation too.
"""

from typing import Final

from msgspec import Struct

from shared.contracts.values import Instant

FEW: Final = 5  # so many may always go


class Removals(Struct, frozen=True, kw_only=True):
    """How many mailboxes would go, of how many that consumers know of."""

    going: int
    known: int


def holds(removals: Removals, *, percent: int, allowed_until: Instant | None, now: Instant) -> bool:
    """Say whether nothing may be removed: too large a share would go, and no operator allows it at present."""
    if allowed_until is not None and allowed_until > now:
        return False
    return removals.going > FEW and removals.going * 100 > removals.known * percent
