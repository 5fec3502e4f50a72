"""Whose word it is that changes something, and when it was given: a word overtaken by a later one changes nothing."""

from msgspec import Struct

from services.authorizer import audit
from shared.broker import Delivery
from shared.contracts.values import Instant


class Word(Struct, frozen=True, kw_only=True):
    """Who says it, when it was said (UTC seconds), and when it is heard."""

    actor: str
    said_at: Instant
    now: Instant

    def is_late(self, counted: Instant | None) -> bool:
        """Say whether a word given later than this one counts already; one of the same second does not outdo it."""
        return counted is not None and counted > self.said_at


def spoken(actor: str, delivery: Delivery, now: Instant) -> Word:
    """Return a message's word. One without a time, or with a time yet to come, is taken as said just now.

    Otherwise a platform whose clock is wrong could say nothing, or be the last to say anything for years.
    """
    return Word(actor=actor, said_at=min(delivery.published_at or now, now), now=now)


def here(actor: str, now: Instant) -> Word:
    """Return the word of somebody at this deployment, heard as it is said."""
    return Word(actor=actor, said_at=now, now=now)


def ours(now: Instant) -> Word:
    """Return the authorizer's own word."""
    return here(audit.OURS, now)
