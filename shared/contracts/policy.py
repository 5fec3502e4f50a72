"""What an organisation allows: how much of an event is shown, which mailboxes are read, and the window kept."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from shared.contracts.values import DAY, Address, Instant, Status, Window

Seconds = Annotated[int, Meta(ge=1, le=DAY)]
MOST_DAYS = 36_525  # a century; wider windows are a mistake, not a wish


class Detail(StrEnum):
    """How much of an event leaves the normalizer."""

    FREE_BUSY = "free-busy"
    DETAILS = "details"


class Scope(Struct, frozen=True, kw_only=True):
    """Which directory objects are read: a group list narrows, `include` adds, `exclude` wins over both."""

    groups: tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...] = ()
    include: tuple[Address, ...] = ()
    exclude: tuple[Address, ...] = ()
    rooms: bool = True


class Policy(Struct, frozen=True, kw_only=True):
    """Immutable per (org, generation). `tentative`, `oof` and `elsewhere` say as which status that word is published.

    The window is `days_back` whole UTC days before today and `days_ahead` after it, or exactly `window` where given.
    A calendar is read again after `poll_seconds` without a hint, or after `poll_seconds_subscribed` where Microsoft
    has promised to send hints.
    """

    detail: Detail = Detail.FREE_BUSY
    show_free: bool = False
    conferencing: bool = False
    tentative: Status = Status.TENTATIVE
    oof: Status = Status.OOF
    elsewhere: Status = Status.ELSEWHERE
    scope: Scope = Scope()
    days_back: Annotated[int, Meta(ge=0, le=MOST_DAYS)] = 42
    days_ahead: Annotated[int, Meta(ge=1, le=MOST_DAYS)] = 201
    window: Window | None = None
    poll_seconds: Seconds = 300
    poll_seconds_subscribed: Seconds = 21_600

    def __post_init__(self) -> None:
        """Refuse a fixed window longer than a century (ValueError; a ValidationError when decoding)."""
        if self.window is not None and self.window.end - self.window.start > MOST_DAYS * DAY:
            raise ValueError("a window is at most a century long")

    def window_at(self, now: Instant) -> Window:
        """Return the window kept at an instant, anchored to whole UTC days."""
        if self.window is not None:
            return self.window
        today = now - now % DAY
        return Window(today - self.days_back * DAY, today + (self.days_ahead + 1) * DAY)
